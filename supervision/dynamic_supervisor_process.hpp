// private: the dynamic supervisor as a process: a table of children by pid. Nothing here is linear
// in their number but the questions that list them, and the end.
#pragma once
#include "supervision/dynamic_supervisor.hpp"
#include "supervision/tree_node.hpp"
#include <boost/unordered/unordered_flat_map.hpp>
#include <map>

namespace roost::detail {

class dynamic_supervisor_process : public behavior, public tree_node {
 public:
  // Questions and operations, as messages.
  struct which_children {};
  struct count_children {};
  struct start_child { child_request request; };
  struct terminate_child { pid process; };

  explicit dynamic_supervisor_process(dynamic_supervisor::options options);

  std::string_view initial_call() const noexcept override { return "roost::dynamic_supervisor"; }
  init_outcome init() override;
  void handle(message& message) override;
  void stop(const exit_reason& reason) override;
  tree_view look(std::size_t most) const override;
  std::string state_text() const override { return view_text(look(50)); }

 protected:
  using client = from<child_result>;

  /// Further messages of derived supervisors.
  virtual bool handle_other(message&) { return false; }

  /// Takes in a child that was started by somebody else, and has linked itself to us.
  void adopt(pid process, child_request request);

  template <class F>
  void for_each_process(F f) const {
    for (auto& [process, child] : children_)
      if (child.state != child_state::restarting) f(process);
  }

 private:
  enum class child_state : std::uint8_t { starting, running, stopping, restarting };

  /// What few children have, and those that have it for a short time.
  struct particulars {
    timer kill_timer = {};
    timer wake_timer = {};
    client starter = {};
    std::vector<client> enders = {};
    unsigned attempt = 0;
    std::unique_ptr<struct backoff> backoff = {};
    restart_delay delay = {};
  };

  struct child {
    explicit child(child_request request);
    particulars& more();

    std::unique_ptr<child_maker> maker;  // none: never made again
    shutdown_time shutdown;
    std::unique_ptr<particulars> extra;
    std::uint8_t restart_type;
    child_type type;
    child_state state = child_state::running;

    enum restart restart() const noexcept { return static_cast<enum restart>(restart_type); }
  };

  struct wake_up {
    pid child;
    unsigned attempt;
  };
  struct became_ready { pid child; };
  struct kill_the_rest { shutdown_time after; };

  using table = boost::unordered_flat_map<pid, child, std::hash<pid>>;

  void start(const client& client, child_request request);
  void terminate(const client& client, pid process);
  start_outcome call_start(child_maker& maker);
  void insert(pid process, child child, child_state state);
  void stop(pid process, child& child);
  void tell_to_stop(pid process, child& child);

  void on_exit(const exited& exit);
  void on_start_ended(table::iterator at, const exit_reason& reason);
  void on_ready(pid process);
  void on_end(table::iterator at, const exit_reason& reason);
  void restart_at(table::iterator at);
  void restart_now(table::iterator at);
  void wait(table::iterator at, std::chrono::milliseconds delay);
  void wake(const wake_up& up);
  bool count_restart(pid process, const child& child);
  std::chrono::milliseconds delay_of(child& child);

  std::vector<pid> processes_in_order() const;
  void end_if_done();
  void kill_rest(shutdown_time after);
  void note_bad_stop(pid process, const child& child, const exit_reason& reason);
  void report_bad_stops();

  std::vector<child_info> list(std::size_t most) const;
  child_counts counts() const;
  offender as_offender(pid process, const child& child) const;

  std::string registered_;
  std::string name_;  // … or the pid as text
  std::size_t max_children_;
  restart_intensity intensity_;
  std::optional<struct backoff> backoff_;
  argument_list extra_arguments_;
  table children_;
  std::optional<exit_reason> ending_;
  std::map<std::string, std::size_t> bad_stops_;  // reasons, while all are stopped together
};

}  // namespace roost::detail
