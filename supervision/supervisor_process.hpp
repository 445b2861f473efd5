// private: the supervisor as a process. It carries out what restart_plan decides, one step at a
// time, and answers questions in between.
//
// Steps wait in lanes. A step that has to wait (a child that takes its time to stop or to start)
// holds up those behind it in its lane and leaves the process free; the message that it waits for
// goes on. Where children depend on each other (one_for_all, rest_for_one, and every start and end
// of the whole) there is one lane; with one_for_one each child has its own, so that none waits for
// another.
#pragma once
#include "supervision/supervisor.hpp"
#include "supervision/tree_node.hpp"
#include <boost/unordered/unordered_flat_map.hpp>

namespace roost::detail {

class supervisor_process : public behavior, public tree_node {
 public:
  // Questions and operations, as messages.
  struct which_children {};
  struct count_children {};
  struct which_child { std::string id; };
  struct get_childspec {
    std::string id;
    pid process;
  };
  struct start_child { child_spec spec; };
  struct terminate_child { std::string id; };
  struct restart_child { std::string id; };
  struct delete_child { std::string id; };

  explicit supervisor_process(supervisor_spec spec);
  ~supervisor_process() override;

  std::string_view initial_call() const noexcept override { return "roost::supervisor"; }
  init_outcome init() override;
  void handle(message& message) override;
  void stop(const exit_reason& reason) override;
  tree_view look(std::size_t most) const override;
  std::string state_text() const override { return view_text(look(50)); }

 protected:
  using client = from<child_result>;

  /// Further messages of derived supervisors.
  virtual bool handle_other(message&) { return false; }

  void terminate(const client& client, const std::string& id);
  void restart(const client& client, const std::string& id);
  const std::string& name() const noexcept { return name_; }

 private:
  enum class child_state : std::uint8_t { stopped, waiting, starting, running, stopping };

  struct child;
  using child_ptr = std::shared_ptr<child>;

  struct step {
    enum class kind : std::uint8_t { stop, start, run, finish } kind;
    child_ptr child = {};
    std::uint64_t plan = 0;          // the restart that it belongs to; 0: none
    from<child_result> client = {};  // whom to tell
    std::function<void()> act = {};  // of `run`
  };

  /// First in, first out.
  class lane {
   public:
    bool empty() const noexcept { return first_ == steps_.size(); }
    step& front() { return steps_[first_]; }
    void push(step step) { steps_.push_back(std::move(step)); }
    void pop();
    /// Takes out the steps for which `is_out(step)` holds.
    template <class F>
    void remove_if(F is_out);

   private:
    std::vector<step> steps_;
    std::size_t first_ = 0;
  };

  struct child : std::enable_shared_from_this<child> {
    explicit child(child_spec spec) : spec(std::move(spec)) {}

    child_spec spec;
    pid process;
    child_state state = child_state::stopped;
    bool fresh = false;  // from start_child, and not started yet
    bool due = false;    // to be started by a restart that waits
    bool forgotten = false;
    bool starts_in_main = false;  // which lane its start holds up
    std::size_t position = 0;
    unsigned starts_planned = 0;
    unsigned stops_planned = 0;
    unsigned attempt = 0;  // counts its waits: an older wake-up is stale
    timer kill_timer;
    timer wake_timer;
    restart_delay delay;
    lane steps;
  };

  struct wake_up {
    child_ptr child;
    unsigned attempt;
  };

  // What a step came to: the next one may go, this one has to wait, or there are other steps now.
  enum class progress { done, waits, replanned };

  // What the step `finish` means.
  enum class outcome { none, started, start_failed, shut_down };

  // Questions.
  child_info info(const child& child) const;
  std::vector<child_info> list(std::size_t most) const;
  child_counts counts() const;
  bool will_start(const child& child) const;
  child* find(std::string_view id) const;
  child* find(pid process) const;

  // Operations.
  void add_and_start(const client& client, child_spec spec);
  void remove(const client& client, const std::string& id);
  bool is_ending() const noexcept;
  bool postpone(child& child, std::function<void()> act);
  void give_up_start(child& child);
  child& add(child_spec spec);
  void forget(child& child);
  void set_process(child& child, pid process);

  // Steps.
  lane& lane_of(child& child);
  void plan_step(lane& lane, step step);
  void drop_first(lane& lane);
  template <class F>
  void drop_if(lane& lane, F is_out);
  void proceed(child* child = nullptr);
  void run(lane& lane);
  progress carry_out(step& step, lane& lane);
  progress stop(child& child, const client& client);
  progress start(child& child, const step& step, const lane& lane);
  progress on_started(child& child, const step& step, const start_outcome& outcome);
  progress on_start_failed(child& child, const step& step, const exit_reason& reason);
  progress try_again(child& child, const step& step);
  start_outcome call_start(child& child);
  void on_started_later(child& child, unsigned attempt, const start_outcome& outcome);
  progress reach_goal();
  void finish_init(init_outcome result);
  progress give_up(outcome goal, exit_reason reason);

  // Exits and restarts.
  void on_exit(const exited& exit);
  void on_end(child& child, const exit_reason& reason);
  void report_bad_stop(const child& child, const exit_reason& reason) const;
  bool auto_shutdown_applies() const;
  bool count_restart(const child& child);
  void plan(child& ended);
  void plan_later(child& ended, std::chrono::milliseconds delay);
  std::chrono::milliseconds delay_of(child& child);
  void wait(child& child, std::chrono::milliseconds delay);
  void wake(child& child, unsigned attempt);
  offender as_offender(const child& child) const;

  std::string registered_;
  std::string name_;  // … or the pid as text
  enum strategy strategy_;
  enum auto_shutdown auto_shutdown_;
  restart_intensity intensity_;
  std::optional<struct backoff> backoff_;
  std::vector<child_ptr> children_;
  boost::unordered_flat_map<std::string_view, child*> by_id_;
  boost::unordered_flat_map<pid, child*, std::hash<pid>> by_process_;
  lane main_;
  std::uint64_t plans_ = 0;
  outcome goal_ = outcome::none;  // when no step of the main lane is left
  exit_reason goal_reason_;
  bool initializing_ = true;  // not every child has started yet
  bool inside_init_ = false;  // … and init() has not returned yet
  std::optional<init_outcome> init_result_;
};

}  // namespace roost::detail
