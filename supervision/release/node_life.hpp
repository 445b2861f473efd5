// supervision/release/node_life.hpp — private.
//
// The life of a node after its configuration is known: the lock, the runtime, the control socket,
// the applications; then events until everything is stopped.
//
//   node_life node{options, files, line};
//   int code = node.run(std::move(applications));
#pragma once
#include "runtime/discovery/topologies.hpp"
#include "supervision/release/control_socket.hpp"
#include "supervision/release/daemon.hpp"
#include "supervision/release/distribution_options.hpp"
#include "supervision/release/heart.hpp"
#include "supervision/release/node_events.hpp"
#include <atomic>

namespace roost::detail {

class node_life {
 public:
  struct settings {
    std::string name;  // of the program
    std::string version;
    std::chrono::milliseconds shutdown_timeout{30'000};
    std::size_t schedulers = 0;
    bool io_uring = true;
    std::chrono::milliseconds beat_interval{5000};  // for heart
    std::function<bool()> heart_check = {};
    std::optional<node::options> distribution = {};  // none: a node without others
    discovery::settings cluster = {};
  };

  node_life(settings settings, node_files files, daemon_line& launcher);
  ~node_life();

  /// Answers the exit code, or throws why the applications did not start.
  int run(std::vector<application_spec> applications);

  /// Whether run() ended in order to be started again in this process.
  bool wants_restart() const { return restarting_; }

 private:
  std::map<std::string, control_command> commands();
  control_reply request(node_event::kind what);
  void start_pulse();
  int handle_events(application_controller& controller);
  void handle(const node_event& event, application_controller& controller);
  void on_signal(int number, application_controller& controller);
  void on_application(const application_event& event, application_controller& controller);
  void on_started();
  void on_ended(const application_event& event, application_controller& controller);
  void begin_stop(application_controller& controller);
  void dump();
  [[noreturn]] void cut_short();

  settings settings_;
  node_files files_;
  daemon_line& launcher_;
  node_events events_;
  std::optional<node_lock> lock_;
  std::optional<control_server> control_;
  std::thread dump_;
  std::atomic<bool> dumping_ = false;

  std::atomic<bool> ready_ = false;
  bool stopping_ = false;
  bool restarting_ = false;
  bool done_ = false;
  node_events::time_point deadline_ = node_events::time_point::max();
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  int code_ = 0;
  std::exception_ptr error_;
};

/// Replaces this process by the program at `path`, which is the same or a newer one. Returns only
/// if that fails.
void start_again(const std::string& path, const std::vector<std::string>& arguments);

/// In a program that start_again has started: takes over the line to heart.
void take_over_heart_line();

}  // namespace roost::detail
