// A supervisor against a model of it: random supervisors, of which random children end, are
// started, terminated, restarted and deleted, whose starts fail or are declined. After each step
// the model says what the children have done, in which order, and what which_children answers.
//
// A difference is reported with the seed, the last steps and both views. ROOST_MODEL_SEED and
// ROOST_MODEL_STEPS in the environment ask for another run.
#include "supervision/supervisor.hpp"
#include "tests/support.hpp"
#include <algorithm>
#include <cstdlib>
#include <deque>
#include <map>
#include <random>

using namespace roost;
using namespace roost::test;

namespace {

using steady = std::chrono::steady_clock;
using lines = std::vector<std::string>;

std::string join(const lines& all) {
  std::string text;
  for (auto& line : all) text += (text.empty() ? "" : ", ") + line;
  return text;
}

// --- the children --------------------------------------------------------------------------------

/// What all children of one supervisor write to.
class diary {
 public:
  void add(std::string line) {
    std::lock_guard guard{mutex_};
    lines_.push_back(std::move(line));
  }
  std::size_t size() const {
    std::lock_guard guard{mutex_};
    return lines_.size();
  }
  lines read() const {
    std::lock_guard guard{mutex_};
    return lines_;
  }
  void clear() {
    std::lock_guard guard{mutex_};
    lines_.clear();
  }

 private:
  mutable std::mutex mutex_;
  lines lines_;
};

/// How the next starts of a child go.
struct mood {
  std::atomic<int> failures{0};
  std::atomic<bool> declines{false};
};

struct puppet {
  struct leave { exit_reason reason; };
  struct crash {};
  using messages = roost::messages<leave, crash>;

  std::shared_ptr<diary> log;
  std::string name;

  static init_result<puppet> init(
      std::shared_ptr<diary> log, std::string name, std::shared_ptr<mood> now) {
    trap_exit(true);  // so that terminate sees a shutdown
    log->add("try " + name);
    if (now->failures > 0) {
      --now->failures;
      return roost::stop("no paper");
    }
    if (now->declines) return ignore();
    return puppet{log, name};
  }
  cast_result handle_cast(leave message) { return roost::stop(message.reason); }
  void handle_cast(crash) { throw std::runtime_error("boom"); }
  void terminate(const exit_reason&) { log->add("end " + name); }
};

// --- the model -----------------------------------------------------------------------------------

/// Written from OTP's documentation, in the simplest way: nothing takes time, one thing after
/// another.
struct model {
  struct child {
    std::string id;
    enum restart restart = permanent;
    bool significant = false;
    bool brutal = false;  // killed when it is to stop
    int failures = 0;
    bool declines = false;
    bool running = false;
  };
  enum class start { ok, declined, failed };

  enum strategy strategy = one_for_one;
  enum auto_shutdown auto_shutdown = auto_shutdown::never;
  int max_restarts = 3;
  std::vector<child> children = {};
  int restarts = 0;
  bool ended = false;
  lines log = {};

  child* find(const std::string& id) {
    auto found =
        std::find_if(children.begin(), children.end(), [&](auto& child) { return child.id == id; });
    return found == children.end() ? nullptr : &*found;
  }
  std::size_t position(const std::string& id) {
    return static_cast<std::size_t>(find(id) - children.data());
  }
  void forget(const std::string& id) {
    children.erase(children.begin() + static_cast<std::ptrdiff_t>(position(id)));
  }

  start try_to_start(child& child) {
    log.push_back("try " + child.id);
    if (child.failures > 0) {
      --child.failures;
      return start::failed;
    }
    child.running = !child.declines;
    return child.declines ? start::declined : start::ok;
  }

  void stop(const std::string& id) {
    auto* child = find(id);
    if (child == nullptr || !child->running) return;
    if (!child->brutal) log.push_back("end " + id);
    child->running = false;
    if (child->restart == temporary) forget(id);
  }

  void stop_all() {
    std::vector<std::string> ids;
    for (auto& child : children) ids.push_back(child.id);
    for (auto id = ids.rbegin(); id != ids.rend(); ++id) stop(*id);
    ended = true;
  }

  /// Answers the child that did not start, or nothing.
  std::string start_first() {
    std::vector<std::string> ids;
    for (auto& child : children) ids.push_back(child.id);
    for (auto& id : ids) {
      auto result = try_to_start(*find(id));
      if (result == start::declined && find(id)->restart == temporary) forget(id);
      if (result != start::failed) continue;
      stop_all();
      return id;
    }
    return {};
  }

  bool allowed() {
    if (++restarts <= max_restarts) return true;
    stop_all();
    return false;
  }

  void end(const std::string& id, const exit_reason& reason) {
    auto* child = find(id);
    if (reason != exit_reason::kill) log.push_back("end " + id);
    child->running = false;
    bool orderly = reason == exit_reason::normal || reason.kind() == exit_reason::code::shutdown;
    bool back = child->restart == permanent || (child->restart == transient && !orderly);
    if (back) {
      if (allowed()) restart(id);
      return;
    }
    bool significant = child->significant;
    if (child->restart == temporary) forget(id);
    if (!significant || auto_shutdown == auto_shutdown::never) return;
    bool others = std::any_of(children.begin(), children.end(), [](auto& other) {
      return other.significant && other.running;
    });
    if (auto_shutdown == auto_shutdown::any_significant || !others) stop_all();
  }

  /// Until nobody fails any more, or there were too many.
  void restart(std::string id) {
    for (;;) {
      auto first = strategy == one_for_all ? 0 : position(id);
      auto last = strategy == one_for_one ? first + 1 : children.size();
      std::vector<std::string> ids;
      for (auto i = first; i < last; ++i) ids.push_back(children[i].id);
      for (auto other = ids.rbegin(); other != ids.rend(); ++other) stop(*other);
      std::string failed;
      for (auto& one : ids) {
        auto* child = find(one);
        if (child == nullptr) continue;  // temporary
        if (try_to_start(*child) != start::failed) continue;
        failed = one;
        break;
      }
      if (failed.empty() || !allowed()) return;
      id = failed;
    }
  }

  std::string start_child(child added) {
    if (auto* present = find(added.id))
      return present->running ? "already_started" : "already_present";
    if (added.significant && auto_shutdown == auto_shutdown::never) return "invalid_spec";
    auto id = added.id;
    children.push_back(std::move(added));
    auto result = try_to_start(children.back());
    bool kept =
        result == start::ok || (result == start::declined && children.back().restart != temporary);
    if (!kept) forget(id);
    return result == start::failed ? "start_failed" : "none";
  }
  std::string terminate_child(const std::string& id) {
    auto* child = find(id);
    if (child == nullptr) return "not_found";
    stop(id);
    return "none";
  }
  std::string restart_child(const std::string& id) {
    auto* child = find(id);
    if (child == nullptr) return "not_found";
    if (child->running) return "running";
    return try_to_start(*child) == start::failed ? "start_failed" : "none";
  }
  std::string delete_child(const std::string& id) {
    auto* child = find(id);
    if (child == nullptr) return "not_found";
    if (child->running) return "running";
    forget(id);
    return "none";
  }

  std::string list() const {
    std::string text;
    for (auto& child : children) text += child.id + (child.running ? "+ " : "- ");
    return text;
  }
};

// --- both together -------------------------------------------------------------------------------

class world {
 public:
  explicit world(std::uint64_t seed) : seed_(seed), random_(seed) {}

  /// One supervisor, from its start to its end.
  void life() {
    log_->clear();
    trace_.clear();
    moods_.clear();
    model_ = {};
    begin();
    for (int i = 0; i < 100 && !model_.ended; ++i) {
      ++steps_;
      step();
    }
    if (model_.ended) return;
    note("stop the supervisor");
    detail::stop_root(supervisor_, exit_reason::shutdown);
    model_.stop_all();
    compare();
  }

  std::uint64_t steps() const { return steps_; }
  std::uint64_t lives = 0;

 private:
  std::uint64_t pick(std::uint64_t below) { return random_() % below; }
  bool chance(unsigned percent) { return pick(100) < percent; }
  std::string any_id() { return "model_" + std::string(1, static_cast<char>('a' + pick(7))); }

  void note(std::string what) {
    trace_.push_back(std::move(what));
    if (trace_.size() > 25) trace_.pop_front();
  }

  [[noreturn]] void fail(const std::string& what) {
    std::string text = "seed " + std::to_string(seed_) + ", step " + std::to_string(steps_) + ": " +
                       what + "\nthe last steps:";
    for (auto& step : trace_) text += "\n  " + step;
    throw std::runtime_error(text);
  }

  // --- specs ---

  std::shared_ptr<mood> mood_of(const std::string& id) {
    auto& found = moods_[id];
    if (!found) found = std::make_shared<mood>();
    return found;
  }

  model::child random_child(std::string id) {
    model::child child{.id = std::move(id)};
    child.restart = static_cast<enum restart>(pick(3));
    child.significant = child.restart != permanent && chance(30);
    child.brutal = chance(15);
    roll_mood(child);
    return child;
  }
  void roll_mood(model::child& child) {
    child.failures = chance(15) ? 1 + static_cast<int>(pick(3)) : 0;
    child.declines = chance(10);
    auto real = mood_of(child.id);
    real->failures = child.failures;
    real->declines = child.declines;
  }
  child_spec spec_of(const model::child& child) {
    auto spec = roost::child<puppet>({.name = child.id}, log_, child.id, mood_of(child.id));
    spec.restart = child.restart;
    spec.significant = child.significant;
    if (child.brutal) spec.shutdown = brutal_kill;
    return spec;
  }
  static std::string text_of(const model::child& child) {
    return child.id + " (" + std::to_string(static_cast<int>(child.restart)) +
           (child.significant ? " significant" : "") + (child.brutal ? " brutal" : "") + ", " +
           std::to_string(child.failures) + " failures" + (child.declines ? ", declines)" : ")");
  }

  // --- steps ---

  void begin() {
    ++lives;
    constexpr int limits[] = {0, 1, 3, 10, 40};
    model_.strategy = static_cast<enum strategy>(pick(3));
    model_.auto_shutdown = static_cast<enum auto_shutdown>(pick(3));
    model_.max_restarts = limits[pick(5)];
    supervisor_spec spec{
        .strategy = model_.strategy,
        .max_restarts = model_.max_restarts,
        .max_seconds = 1h,
        .auto_shutdown = model_.auto_shutdown};
    // A pause changes when things happen, and nothing else.
    if (chance(10)) spec.backoff = backoff{.min = 1ms, .max = 1ms};
    std::vector<std::string> ids{"model_a", "model_b", "model_c", "model_d", "model_e"};
    ids.resize(pick(6));
    for (auto& id : ids) {
      auto child = random_child(id);
      if (chance(70)) child.failures = mood_of(id)->failures = 0;
      if (model_.auto_shutdown == auto_shutdown::never) child.significant = false;
      spec.children.push_back(spec_of(child));
      note("start with " + text_of(child));
      model_.children.push_back(std::move(child));
    }
    note(
        "strategy " + std::to_string(static_cast<int>(model_.strategy)) + ", auto_shutdown " +
        std::to_string(static_cast<int>(model_.auto_shutdown)) + ", max_restarts " +
        std::to_string(model_.max_restarts));
    auto failed = model_.start_first();
    std::string error;
    try {
      supervisor_ = start_link(std::move(spec));
    } catch (const start_error& what) {
      error = what.reason().to_string();
    }
    auto expected =
        failed.empty() ? failed : "{shutdown, {failed_to_start_child, " + failed + ", no paper}}";
    if (error != expected)
      fail("expected the start to answer \"" + expected + "\", got \"" + error + "\"");
    compare();
  }

  void step() {
    auto choice = pick(100);
    if (choice < 45) return end_somebody();
    auto id = any_id();
    roost::supervisor handle(supervisor_);
    if (choice < 60) {
      auto child = random_child(id);
      if (auto* present = model_.find(id)) keep_mood(child, *present);
      note("start_child " + text_of(child));
      auto spec = spec_of(child);
      check(handle.start_child(spec).get(), model_.start_child(child));
    } else if (choice < 72) {
      note("terminate_child " + id);
      check(handle.terminate_child(id).get(), model_.terminate_child(id));
    } else if (choice < 84) {
      note("restart_child " + id);
      check(handle.restart_child(id).get(), model_.restart_child(id));
    } else if (choice < 90) {
      note("delete_child " + id);
      check(handle.delete_child(id).get(), model_.delete_child(id));
    } else if (auto* child = model_.find(id)) {
      roll_mood(*child);
      note("mood " + text_of(*child));
    }
    compare();
  }

  /// The mood belongs to the id: a start_child that is refused must not change it.
  void keep_mood(model::child& child, const model::child& present) {
    auto real = mood_of(present.id);
    real->failures = child.failures = present.failures;
    real->declines = child.declines = present.declines;
  }

  void end_somebody() {
    std::vector<std::string> running;
    for (auto& child : model_.children)
      if (child.running) running.push_back(child.id);
    if (running.empty()) return;
    auto id = running[pick(running.size())];
    auto process = whereis(id);
    server<puppet> child(process);
    const exit_reason reasons[] = {
        exit_reason::normal, exit_reason::shutdown, exit_reason::shutdown_with("left"),
        exit_reason("out of paper"), exit_reason::kill};
    auto choice = pick(6);
    auto reason = choice < 5 ? reasons[choice] : exit_reason("crash");
    note(id + " ends: " + reason.to_string());
    if (reason == exit_reason::kill)
      exit(process, reason);
    else if (choice == 5)
      cast(child, puppet::crash{});
    else
      cast(child, puppet::leave{reason});
    ended_ = process;
    model_.end(id, reason);
    compare();
  }

  void check(const child_result& got, const std::string& expected) {
    if (to_string(got.error()) != expected)
      fail("expected " + expected + ", got " + got.to_string());
  }

  // --- views ---

  std::string seen_list(bool& settled) {
    std::string text;
    try {
      for (auto& child : roost::supervisor(supervisor_).which_children().get()) {
        settled = settled && !child.restarting && (!ended_ || child.process != ended_);
        text += child.id + (child.process ? "+ " : "- ");
        if (child.process && whereis(child.id) != child.process) settled = false;
      }
    } catch (const process_exit&) {
      settled = false;  // it is ending; whether it should is seen in the next look
    }
    return text;
  }

  bool agrees(std::string& list) {
    if (log_->size() != model_.log.size()) return false;
    if (model_.ended) return !supervisor_ || !is_alive(supervisor_);
    bool settled = true;
    list = seen_list(settled);
    return settled && list == model_.list();
  }

  void compare() {
    std::string list;
    auto deadline = steady::now() + 20s;
    for (int looks = 0; !agrees(list); ++looks) {
      if (steady::now() > deadline) {
        fail(
            "expected children " + model_.list() + (model_.ended ? "(ended)" : "") + "\n  got " +
            list + "\nexpected " + join(model_.log) + "\n  got " + join(log_->read()));
      }
      if (looks > 20) std::this_thread::sleep_for(50us);
    }
    if (log_->read() != model_.log)
      fail("expected " + join(model_.log) + "\n  got " + join(log_->read()));
    log_->clear();
    model_.log.clear();
    ended_ = {};
    if (model_.ended) supervisor_ = {};
  }

  std::uint64_t seed_;
  std::mt19937_64 random_;
  model model_;
  std::shared_ptr<diary> log_ = std::make_shared<diary>();
  std::map<std::string, std::shared_ptr<mood>> moods_;
  pid supervisor_;
  pid ended_;
  std::uint64_t steps_ = 0;
  std::deque<std::string> trace_;
};

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  auto* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

/// The reports of so many crashes would be longer than the test.
struct no_log {
  no_log() { logger::set_level(log_level::none); }
  no_log(const no_log&) = delete;
  no_log& operator=(const no_log&) = delete;
  ~no_log() { logger::set_level(log_level::info); }
};

/// So many steps, or so long.
void drive(std::uint64_t steps, std::chrono::seconds time) {
  auto seed = from_environment("ROOST_MODEL_SEED", std::random_device{}());
  steps = from_environment("ROOST_MODEL_STEPS", steps);
  no_log quiet;
  runtime runtime{{.schedulers = 3}};
  world world{seed};
  auto end = steady::now() + time;
  try {
    while (world.steps() < steps && steady::now() < end) world.life();
  } catch (const std::exception& error) {
    FAIL(std::string(error.what()));
  }
  MESSAGE("seed " << seed << ": " << world.steps() << " steps, " << world.lives << " supervisors");
}

}  // namespace

TEST_CASE("a supervisor does what the model says") { drive(1'000'000'000, 10s); }

TEST_CASE("… for a hundred thousand steps" * doctest::test_suite("long")) { drive(100'000, 1h); }
