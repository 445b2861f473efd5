// private: what the tests of supervisors share: children that do as they are told, a journal of
// what they did, and supervisors that are watched.
#pragma once
#include "runtime/blocking.hpp"
#include "supervision/supervisor.hpp"
#include "tests/support.hpp"
#include <algorithm>
#include <condition_variable>

namespace roost::test {

using lines = std::vector<std::string>;

/// What the children did, in order.
class journal {
 public:
  void add(std::string line) {
    std::lock_guard guard{mutex_};
    lines_.push_back(std::move(line));
  }
  lines read() const {
    std::lock_guard guard{mutex_};
    return lines_;
  }
  lines take() {
    std::lock_guard guard{mutex_};
    return std::exchange(lines_, {});
  }
  std::ptrdiff_t count(std::string_view line) const {
    auto all = read();
    return std::count(all.begin(), all.end(), line);
  }

 private:
  mutable std::mutex mutex_;
  lines lines_;
};
using shared_journal = std::shared_ptr<journal>;

/// Where a child waits until the test lets it go on.
class gate {
 public:
  explicit gate(bool open) : open_(open) {}
  void open() { set(true); }
  void close() { set(false); }
  void open_to_failure() {
    fails_ = true;
    set(true);
  }
  void pass() {
    std::unique_lock guard{mutex_};
    changed_.wait(guard, [&] { return open_; });
  }
  bool fails() const { return fails_; }

 private:
  void set(bool open) {
    std::lock_guard guard{mutex_};
    open_ = open;
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_;
  std::atomic<bool> fails_{false};
};
using shared_gate = std::shared_ptr<gate>;

/// A child that says when it starts and stops, and otherwise does as it is told.
struct member {
  struct crash {};
  struct leave { exit_reason reason; };
  struct unlink_from {
    using reply = void;
    pid process;
  };
  using messages = roost::messages<crash, leave, unlink_from>;

  shared_journal log;
  std::string name;

  static init_result<member> init(shared_journal log, std::string name) {
    trap_exit(true);  // so that terminate sees a shutdown
    log->add("start " + name);
    return member{log, name};
  }
  void handle_cast(crash) { throw std::runtime_error("boom"); }
  cast_result handle_cast(leave message) { return stop(message.reason); }
  void handle_call(unlink_from message) { unlink(message.process); }
  void terminate(const exit_reason& reason) {
    log->add((reason == exit_reason::shutdown ? "stop " : "end ") + name);
  }
};

/// A child whose init succeeds, fails, throws or declines, as the test has it just then.
struct moody {
  enum class mood { fine, failing, throwing, declining };
  struct crash {};
  using messages = roost::messages<crash>;

  shared_journal log;
  std::string name;

  static init_result<moody> init(
      shared_journal log, std::string name, std::shared_ptr<std::atomic<mood>> now) {
    trap_exit(true);
    log->add("try " + name);
    switch (now->load()) {
      case mood::failing:
        return stop("no paper");
      case mood::throwing:
        throw std::runtime_error("paper jam");
      case mood::declining:
        return ignore();
      case mood::fine:
        break;
    }
    log->add("start " + name);
    return moody{log, name};
  }
  void handle_cast(crash) { throw std::runtime_error("boom"); }
  void terminate(const exit_reason& reason) {
    if (reason == exit_reason::shutdown) log->add("stop " + name);
  }
};

/// A child whose init is finished later, when its gate is open.
struct late {
  struct crash {};
  using messages = roost::messages<crash>;

  static init_result<late> init(
      shared_journal log, std::string name, shared_gate gate, init_ref<late> ref) {
    log->add("wait " + name);
    blocking([gate] { gate->pass(); }).then([=] {
      if (gate->fails()) return ref.stop("no paper");
      log->add("start " + name);
      ref.finish(late{});
    });
    return later(ref);
  }
  void handle_cast(crash) { throw std::runtime_error("boom"); }
};

/// A child that hears that it should stop, and does not. It leaves when it gets a `goodbye`.
class deaf final : public detail::behavior {
 public:
  struct goodbye {};

  deaf(shared_journal log, std::string name) : log_(std::move(log)), name_(std::move(name)) {}
  detail::init_outcome init() override {
    trap_exit(true);
    log_->add("start " + name_);
    return {};
  }
  void handle(detail::message& message) override {
    if (detail::value_of<exited>(message) != nullptr) log_->add("hear " + name_);
    if (detail::value_of<goodbye>(message) != nullptr) detail::stop_self(exit_reason::normal);
  }
  std::string_view initial_call() const noexcept override { return "deaf"; }

  static child_spec child(shared_journal log, std::string name) {
    auto make = [log, name] { return std::make_unique<deaf>(log, name); };
    return {.id = name, .start = detail::starter(make, name)};
  }

 private:
  shared_journal log_;
  std::string name_;
};

/// Tells the test how a process ended.
struct watcher {
  using messages = roost::messages<>;
  std::shared_ptr<std::promise<std::string>> end;

  static init_result<watcher> init(pid process, std::shared_ptr<std::promise<std::string>> end) {
    monitor(process);
    return watcher{end};
  }
  cast_result handle_info(const down& message) {
    end->set_value(message.reason.to_string());
    return stop(exit_reason::normal);
  }
};

/// A node, a journal, and supervisors that are watched. Children are called as they are registered.
struct tree : node {
  log_capture reports;
  shared_journal log = std::make_shared<journal>();
  std::future<std::string> end;  // of the supervisor that was started last

  ~tree() {
    for (auto& gate : gates_) gate->open();
  }

  child_spec plain(std::string name, const child_options& options = {}) {
    return with(child<member>({.name = name}, log, name), options);
  }
  using moods = std::shared_ptr<std::atomic<moody::mood>>;
  child_spec changing(std::string name, moods now) {
    return child<moody>({.name = name}, log, name, std::move(now));
  }
  static moods mood(moody::mood now) { return std::make_shared<std::atomic<moody::mood>>(now); }
  child_spec waiting(std::string name, shared_gate gate) {
    return child<late>({.name = name}, log, name, std::move(gate));
  }
  shared_gate make_gate(bool open) { return gates_.emplace_back(std::make_shared<gate>(open)); }

  pid start(supervisor_spec spec) {
    auto process = start_link(std::move(spec));
    auto promise = std::make_shared<std::promise<std::string>>();
    end = promise->get_future();
    roost::start<watcher>(process, promise);
    return process;
  }
  /// Stops it as its own supervisor would, and waits.
  void stop(pid supervisor) {
    detail::stop_root(supervisor, exit_reason::shutdown);
    CHECK(how_it_ended() == "shutdown");
  }
  /// … when one of its children is deaf.
  void say_goodbye(pid supervisor, const std::string& name) {
    auto before = log->count("hear " + name);
    detail::stop_root(supervisor, exit_reason::shutdown);
    REQUIRE(eventually([&] { return log->count("hear " + name) > before; }));
    send(whereis(name), deaf::goodbye{});
    CHECK(how_it_ended() == "shutdown");
  }
  std::string how_it_ended() {
    return end.wait_for(10s) == std::future_status::ready ? end.get() : "not at all";
  }

  static child_info line(pid supervisor, std::string_view id) {
    for (auto& child : roost::supervisor(supervisor).which_children().get())
      if (child.id == id) return child;
    return {"forgotten", {}, false, child_type::worker};
  }
  static pid process(pid supervisor, std::string_view id) { return line(supervisor, id).process; }

  /// Lets the child end, and waits until its supervisor has dealt with it.
  template <class Message = member::crash>
  void end_child(pid supervisor, std::string_view id, Message message = {}) {
    auto before = process(supervisor, id);
    REQUIRE(before);
    detail::enqueue(before, detail::make_message<Message>(detail::message_kind::cast, message));
    REQUIRE(eventually(
        [&] { return !is_alive(supervisor) || process_or_none(supervisor, id) != before; }));
  }
  template <class Message = member::crash>
  void restart_child(pid supervisor, std::string_view id, Message message = {}) {
    end_child(supervisor, id, message);
    REQUIRE(eventually([&] { return static_cast<bool>(process(supervisor, id)); }));
  }

 private:
  static pid process_or_none(pid supervisor, std::string_view id) {
    try {
      return process(supervisor, id);
    } catch (const process_exit&) {
      return {};
    }
  }

  std::vector<shared_gate> gates_;
};

inline std::string failure_of(const std::function<void()>& act) {
  try {
    act();
  } catch (const start_error& error) {
    return error.reason().to_string();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace roost::test
