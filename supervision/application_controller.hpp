// supervision/application_controller.hpp — private.
//
// Starts applications one after the other and stops them in reverse, on a thread of its own, where
// callbacks may block; meanwhile the main thread listens to signals.
//
//   application_controller controller{std::move(applications), [](application_event event) { … }};
//   controller.start();   // … event::started, or event::failed
//   controller.stop();    // … event::stopped
//
// Thread safety: one caller; events come from other threads. Destroy it after the runtime, whose
// processes tell it that a tree has ended.
// Source: OTP application_controller and application_master.
#pragma once
#include "supervision/application.hpp"
#include <condition_variable>
#include <deque>
#include <future>
#include <mutex>
#include <thread>

namespace roost::detail {

struct application_event {
  enum class kind { started, failed, stopped, ended } what;
  std::string application = {};              // failed, ended
  exit_reason reason = exit_reason::normal;  // of an application that ended by itself
  std::exception_ptr error = {};             // failed
};

class application_controller {
 public:
  using listener = std::function<void(application_event)>;

  /// Sorts the applications and asks each for its tree. Throws what their functions throw, and
  /// std::invalid_argument for dependencies that cannot be.
  application_controller(std::vector<application_spec> applications, listener listener);
  application_controller(const application_controller&) = delete;
  application_controller& operator=(const application_controller&) = delete;
  ~application_controller();

  /// Starts all of them. If one fails, those before it stay until stop().
  void start();

  /// Stops what has started. A start that is under way gives up before its next application.
  void stop();

  /// For an application that ended by itself: calls its `stop`, and forgets it.
  void clean_up(std::string application);

  /// Whether the node goes down with it; see application_plan.hpp.
  bool ends_node(const std::string& application, bool ended_normally) const;

  /// What is being started or stopped, for the complaint that it takes too long.
  std::string busy_with() const;

  std::vector<application_info> running() const;

  /// Whether start() has come to its end, and nobody has called stop().
  bool all_started() const;

 private:
  struct entry {
    application_spec spec;
    supervisor_spec tree;
  };
  struct running_application {
    application_info info;
    std::shared_future<exit_reason> gone;
  };

  void post(std::function<void()> task);
  void work();
  void start_all();
  void start_one(const entry& entry);
  void stop_all();
  void stop_one(const running_application& application);
  std::shared_future<exit_reason> watch(const application_info& info);
  const application_spec& spec_of(const std::string& name) const;
  void set_busy(std::string text);
  std::optional<running_application> take(const std::string& name);
  std::optional<running_application> take_last();
  bool is_stopping() const;

  std::vector<entry> entries_;  // in the order of starting
  listener tell_;

  mutable std::mutex mutex_;  // guards what follows, up to the thread
  std::condition_variable wake_;
  std::vector<running_application> running_;
  std::deque<std::function<void()>> tasks_;
  std::string busy_;
  bool started_ = false;
  bool stopping_ = false;
  bool closing_ = false;
  std::thread thread_;
};

/// The one that which_applications asks; null when there is none.
void set_current_controller(const application_controller* controller);

}  // namespace roost::detail
