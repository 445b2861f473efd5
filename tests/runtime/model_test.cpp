// Thousands of processes do what a seeded driver tells them, and a simple model of the semantics
// says what must come of it.
//
// The driver works in rounds: each process that takes part gets a script of steps (link, monitor,
// send, exit, …), all of them run at the same time, and when the node has come to rest everything
// that can be seen is compared with the model: who is alive, why the others ended, each message,
// EXIT and DOWN with its sender, reason and place in the order, and links, monitors and flags as
// process_info shows them.
//
//   grow    links, monitors, messages, calls and new processes, by everybody: all of it commutes
//   shrink  unlink and demonitor, by everybody: commutes as well
//   die     ends of every kind. Links stay inside a family, so ends in different families do not
//   meet,
//           and the model knows who goes and why. Bystanders of other families go on growing
//   chaos   everything at once. The model does not know how the races end: it checks what must hold
//           however they do (each monitor fires once, nobody survives the crash of a process that
//           it is surely linked to, …) and goes on from what it sees
//
// A difference is reported with the seed, the round and both views. ROOST_MODEL_SEED,
// ROOST_MODEL_SECONDS and ROOST_MODEL_PROCESSES in the environment ask for another run.
#include "tests/runtime/model_processes.hpp"
#include <cstdlib>
#include <deque>
#include <map>
#include <random>
#include <set>
#include <unordered_map>

using namespace roost;
using namespace roost::test;

namespace {

using steady = std::chrono::steady_clock;

// --- what must be seen ---------------------------------------------------------------------------

using id = std::uint32_t;
constexpr id nobody = 0;
constexpr id driver = 1;    // the thread that runs the test
constexpr id observer = 2;  // the witness

std::string text(const exit_reason& reason) {
  if (reason.kind() != exit_reason::code::error) return reason.to_string();
  return "error: " + std::string(reason.what());
}
std::string crash_reason(std::uint64_t number) { return "error: " + crash_text(number); }

/// What one process must see of another: in this order, then, in any order, the signs of its death.
struct item {
  event::kind what;
  std::uint64_t number = 0;
  std::set<std::string> reasons = {};  // any of these; none: whatever it is
  bool optional = false;
};
struct expectation {
  std::vector<item> in_order = {};
  std::vector<item> last = {};
};

/// What may become of a call.
struct outcome {
  id whom;
  bool answer = true;
  std::set<std::string> failures = {};
};

const char* name_of(event::kind kind) {
  switch (kind) {
    case event::kind::note:
      return "message";
    case event::kind::question:
      return "question";
    case event::kind::exited:
      return "EXIT";
    case event::kind::down:
      return "DOWN";
    case event::kind::answer:
      return "answer";
    case event::kind::unanswered:
      return "no answer";
    case event::kind::demonitored:
      return "demonitored";
    case event::kind::overlap:
      return "another handler at the same time";
  }
  return "?";
}

std::string show(const item& item) {
  std::string line = name_of(item.what);
  if (item.number != 0) line += " " + std::to_string(item.number);
  const char* between = " ";
  for (auto& reason : item.reasons) line += std::exchange(between, " or ") + reason;
  return item.optional ? "perhaps " + line : line;
}

std::string show(const event& event) {
  std::string line = name_of(event.what);
  if (event.number != 0) line += " " + std::to_string(event.number);
  if (event.what == event::kind::exited || event.what == event::kind::down ||
      event.what == event::kind::unanswered)
    line += " " + text(event.reason);
  if (event.what == event::kind::demonitored) line += event.yes ? ", was armed" : ", was not armed";
  return line;
}

std::string show(const step& step) {
  constexpr const char* names[] = {"link", "unlink", "monitor", "demonitor", "trap_exit",
                                   "tell", "ask",    "exit",    "start",     "start_link",
                                   "run",  "stop",   "leave",   "fail"};
  std::string line = names[static_cast<std::size_t>(step.what)];
  if (step.target != nobody) line += " " + std::to_string(step.target);
  if (step.number != 0) line += " #" + std::to_string(step.number);
  if (step.flag) line += " true";
  if (step.reason != exit_reason::normal) line += " " + text(step.reason);
  return line + ",";
}

bool fits(const item& item, const event& event) {
  if (item.what != event.what || item.number != event.number) return false;
  return item.reasons.empty() || item.reasons.contains(text(event.reason));
}

/// Answers what is wrong with what was seen, or nothing.
std::string compare(const expectation& expected, const std::vector<const event*>& seen) {
  auto& list = expected.in_order;
  std::size_t next = 0;
  std::vector<bool> used(expected.last.size());
  bool over = false;
  for (auto* event : seen) {
    auto at = next;
    while (at < list.size() && list[at].optional && !fits(list[at], *event)) ++at;
    if (!over && at < list.size() && fits(list[at], *event)) {
      next = at + 1;
      continue;
    }
    std::size_t i = 0;
    while (i < used.size() && (used[i] || !fits(expected.last[i], *event))) ++i;
    if (i == used.size()) return "not expected, or not at this place: " + show(*event);
    used[i] = over = true;
  }
  for (; next < list.size(); ++next)
    if (!list[next].optional) return "expected, and not seen: " + show(list[next]);
  for (std::size_t i = 0; i < used.size(); ++i)
    if (!used[i] && !expected.last[i].optional)
      return "expected, and not seen: " + show(expected.last[i]);
  return {};
}

// --- the model -----------------------------------------------------------------------------------

struct modelled {
  std::shared_ptr<diary> book = std::make_shared<diary>();
  pid me = {};
  id parent = nobody;  // if linked to it when started: a gen_server ends when its parent does
  std::uint32_t family = 0;
  bool alive = true;
  bool traps = false;
  std::set<id> links = {};
  std::map<std::uint64_t, id> monitors = {};  // those that are armed, by number
  std::map<std::uint64_t, id> watchers = {};
  std::uint64_t sent = 0;
  std::uint64_t died_in = 0;  // the round
  std::string reason = {};    // … and why

  // This round.
  std::shared_ptr<script> steps = {};
  std::uint64_t scripts_before = 0;
  bool is_new = true;
  std::optional<std::string> last_words = {};
  std::map<id, expectation> expected = {};
  std::map<std::uint64_t, outcome> asked = {};
};

/// What is known of two processes after a round of chaos.
struct pair_history {
  bool before = false;   // linked when the round began
  bool started = false;  // one has started the other, with a link
  int by_lower = 0;      // calls of link
  int by_higher = 0;
  bool unlinked = false;

  int links() const { return (before ? 1 : 0) + (started ? 1 : 0) + by_lower + by_higher; }
  bool never() const { return links() == 0; }
  bool surely() const { return links() > 0 && !unlinked; }
};

/// What is known of one process after a round of chaos.
struct single_history {
  bool always_traps = true;
  bool never_traps = true;
  bool traps_at_end = false;
  std::size_t done = 0;                // steps of its script
  std::string must_die = {};           // and why; empty: need not
  std::set<std::string> reasons = {};  // for which it may have died, apart from its links
};

struct difference : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class driven_world {
 public:
  driven_world(std::uint64_t seed, std::size_t population)
      : random_(seed), population_(population) {
    witness_ = roost::start<witness>(deaths_);
    prober_ = roost::start<prober>();
    id_of_ = {{self(), driver}, {witness_.process(), observer}};
    others_ = runtime::process_count();
    start_from_outside(population_);
  }
  driven_world(const driven_world&) = delete;
  driven_world& operator=(const driven_world&) = delete;
  ~driven_world() {
    for (auto who : living_)
      exit(at(who).me, exit_reason::kill);  // some trap what a node says at its end
  }

  void round() {
    ++round_;
    begin();
    plan();
    for (auto who : living_)
      if (at(who).steps) cast(server<subject>(at(who).me), subject::follow{at(who).steps});
    for (auto& [whom, reason] : driver_exits_) exit(at(whom).me, reason);
    settle();
    hear_of_deaths();
    if (chaos_) reconstruct();
    check();
    finish();
  }

  std::uint64_t rounds() const { return round_; }
  std::uint64_t steps() const { return steps_; }
  std::uint64_t ends() const { return ends_; }
  std::size_t living() const { return living_.size(); }

 private:
  modelled& at(id who) { return all_.at(who); }
  std::size_t pick(std::size_t below) {
    return std::uniform_int_distribution<std::size_t>(0, below - 1)(random_);
  }
  bool chance(std::size_t percent) { return pick(100) < percent; }
  id any_of(const std::vector<id>& list) { return list[pick(list.size())]; }

  // --- who there is
  // --------------------------------------------------------------------------------

  static constexpr std::size_t family_size = 16;
  static constexpr std::size_t remembered = 64;  // of those that have gone

  id add(modelled process) {
    all_.emplace(++ids_made_, std::move(process));
    return ids_made_;
  }

  void start_from_outside(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      modelled one;
      one.family = i % (family_size / 2) == 0 ? ++families_made_ : families_made_;
      one.me = roost::start<subject>(one.book).process();
      id_of_.emplace(one.me, ids_made_ + 1);
      born_.push_back(add(std::move(one)));
    }
    welcome();
  }

  /// Those that were born and are alive take part from now on.
  void welcome() {
    witness::watch all;
    for (auto who : born_) {
      auto& p = at(who);
      living_.push_back(who);
      families_[p.family].push_back(who);
      all.all.push_back(p.me);
      p.is_new = false;
    }
    born_.clear();
    call(witness_, std::move(all), patience).get();
  }

  std::vector<id> relatives(id who) {
    std::vector<id> found;
    for (auto other : families_[at(who).family])
      if (other != who && at(other).alive) found.push_back(other);
    return found;
  }

  // --- steps
  // -----------------------------------------------------------------------------------------
  //
  // Each adds a step to a script and, unless all is chaos, says what must come of it.

  step& add_step(id who, step step) {
    auto& p = at(who);
    if (!p.steps) p.steps = std::make_shared<script>();
    ++steps_;
    p.steps->push_back(std::move(step));
    return p.steps->back();
  }

  void tell(id who, id whom) {
    auto number = ++at(who).sent;
    add_step(
        who, {.what = step::kind::tell, .target = whom, .whom = at(whom).me, .number = number});
    if (!chaos_) expect_message(event::kind::note, who, whom, number);
  }

  void ask(id who, id whom) {
    auto number = ++at(who).sent;
    add_step(who, {.what = step::kind::ask, .target = whom, .whom = at(whom).me, .number = number});
    if (!chaos_) expect_message(event::kind::question, who, whom, number);
  }

  void expect_message(event::kind what, id who, id whom, std::uint64_t number) {
    at(whom).expected[who].in_order.push_back({what, number});
    if (what == event::kind::question) at(who).asked.emplace(number, outcome{whom});
  }

  void link_to(id who, id whom) {
    add_step(who, {.what = step::kind::link, .target = whom, .whom = at(whom).me});
    if (chaos_) return;
    at(who).links.insert(whom);
    if (at(whom).alive)
      at(whom).links.insert(who);
    else
      propagate({who, whom, {"noproc", false}, true, false});
  }

  void unlink_from(id who, id whom) {
    add_step(who, {.what = step::kind::unlink, .target = whom, .whom = at(whom).me});
    if (chaos_) return;
    at(who).links.erase(whom);
    at(whom).links.erase(who);
  }

  void watch(id who, id whom, std::set<std::string> reasons = {}) {
    auto number = ++monitors_made_;
    add_step(
        who, {.what = step::kind::monitor, .target = whom, .whom = at(whom).me, .number = number});
    if (!chaos_) new_monitors_.push_back({who, whom, number, std::move(reasons)});
  }

  void unwatch(id who, std::uint64_t number) {
    auto& p = at(who);
    auto whom = p.monitors.at(number);
    add_step(
        who, {.what = step::kind::demonitor,
              .target = whom,
              .whom = at(whom).me,
              .number = number,
              .flag = chance(50)});
    if (chaos_) return;
    p.monitors.erase(number);
    at(whom).watchers.erase(number);
  }

  void trap(id who, bool on) {
    add_step(who, {.what = step::kind::trap, .flag = on});
    if (!chaos_) at(who).traps = on;
  }

  void start_child(id who, bool linked) {
    modelled child;
    auto family = at(who).family;
    child.family = linked || families_[family].size() < family_size ? family : ++families_made_;
    if (linked) child.parent = who;
    auto book = child.book;
    auto born = add(std::move(child));
    born_.push_back(born);
    add_step(
        who, {.what = linked ? step::kind::start_linked : step::kind::start,
              .target = born,
              .child = book});
    if (chaos_ || !linked) return;
    at(who).links.insert(born);
    at(born).links.insert(who);
  }

  void run_child(id who) {
    modelled child;
    child.alive = false;  // by the time that anybody looks
    auto book = child.book;
    auto ran = add(std::move(child));
    ran_.push_back(ran);
    auto& told = add_step(
        who, {.what = step::kind::run,
              .target = ran,
              .number = 1 + pick(4),
              .monitor = ++monitors_made_,
              .flag = chance(30),
              .child = book});
    if (!chaos_) expect_run(who, told);
  }

  void expect_run(id who, const step& told) {
    auto& of_child = at(who).expected[told.target];
    for (std::uint64_t i = 1; i <= told.number; ++i)
      of_child.in_order.push_back({event::kind::note, i});
    auto reason = told.flag ? crash_reason(told.number) : "normal";
    of_child.last.push_back({event::kind::down, told.monitor, {reason}});
  }

  void send_exit(id who, id whom, const exit_reason& reason) {
    if (who == driver)
      driver_exits_.emplace_back(whom, reason);
    else
      add_step(
          who, {.what = step::kind::exit, .target = whom, .whom = at(whom).me, .reason = reason});
    if (chaos_) return;
    bool kill = reason == exit_reason::kill;
    propagate({whom, who, {text(reason), reason == exit_reason::normal}, false, kill});
  }

  void end(id who) {
    auto how = pick(3);
    if (how == 0) {
      auto number = ++reasons_made_;
      add_step(who, {.what = step::kind::fail, .number = number});
      return chaos_ ? void() : ends_by_itself(who, {crash_reason(number), false});
    }
    auto reason = some_reason(true);
    add_step(who, {.what = how == 1 ? step::kind::stop : step::kind::leave, .reason = reason});
    if (!chaos_) ends_by_itself(who, {text(reason), reason == exit_reason::normal});
  }

  /// Most are used once, so that it shows where they come from.
  exit_reason some_reason(bool may_be_normal) {
    auto kind = pick(20);
    if (kind < 3 && may_be_normal) return exit_reason::normal;
    if (kind < 5) return exit_reason::shutdown;
    if (kind < 8) return exit_reason::kill;
    auto text = "reason " + std::to_string(++reasons_made_);
    return kind < 11 ? exit_reason::shutdown_with(text) : exit_reason(text);
  }

  // --- what comes of an exit, when nothing interferes
  // ------------------------------------------------

  struct cause {
    std::string text;
    bool normal = false;
  };
  struct exit_on_its_way {
    id to;
    id from;
    cause why;
    bool linked;
    bool kill;  // by exit/2: cannot be trapped
  };

  void propagate(exit_on_its_way first) {
    on_their_way_.push_back(std::move(first));
    propagate();
  }
  void ends_by_itself(id who, const cause& why) {
    die(who, why, true);
    propagate();
  }
  void propagate() {
    while (!on_their_way_.empty()) {
      auto next = std::move(on_their_way_.front());
      on_their_way_.pop_front();
      receive(next);
    }
  }

  void receive(const exit_on_its_way& exit) {
    auto& p = at(exit.to);
    if (!p.alive) return;
    if (exit.linked && p.links.erase(exit.from) == 0) return;
    if (exit.kill) return die(exit.to, {"killed"}, false);
    if (p.traps) {
      if (p.parent == exit.from) return die(exit.to, exit.why, true);
      auto& seen = p.expected[exit.from];
      auto& list = exit.linked ? seen.last : seen.in_order;
      return list.push_back({event::kind::exited, 0, {exit.why.text}});
    }
    if (exit.why.normal && exit.from != exit.to) return;
    die(exit.to, exit.why, false);
  }

  void die(id who, const cause& why, bool says_last_words) {
    auto& p = at(who);
    p.alive = false;
    p.died_in = round_;
    p.reason = why.text;
    if (says_last_words) p.last_words = why.text;
    for (auto other : std::exchange(p.links, {}))
      on_their_way_.push_back({other, who, why, true, false});
    for (auto& [number, watcher] : std::exchange(p.watchers, {})) {
      at(watcher).monitors.erase(number);
      at(watcher).expected[who].last.push_back({event::kind::down, number, {why.text}});
    }
    for (auto& [number, whom] : std::exchange(p.monitors, {})) at(whom).watchers.erase(number);
  }

  // --- rounds
  // ----------------------------------------------------------------------------------------

  void begin() {
    for (auto who : living_) {
      auto& p = at(who);
      p.scripts_before = p.book->scripts;
      p.last_words.reset();
      p.expected.clear();
      p.asked.clear();
    }
    for (auto who : gone_) at(who).expected.clear();
    claimed_.clear();
    new_monitors_.clear();
    driver_exits_.clear();
    pairs_.clear();
    singles_.clear();
  }

  void plan() {
    auto kind = pick(10);
    chaos_ = kind >= 7;
    if (chaos_) {
      name_ = "chaos";
      return anything_goes();
    }
    name_ = kind < 3 ? "grow" : kind == 3 ? "shrink" : "die";
    if (kind == 3) everybody_shrinks();
    if (kind > 3) some_die();
    if (kind != 3) everybody_grows(kind < 3 ? 50 : 25);
    resolve();
  }

  void everybody_grows(std::size_t percent) {
    for (auto who : living_)
      if (!claimed_.contains(at(who).family) && chance(percent)) grow(who);
  }

  void grow(id who) {
    if (chance(10)) trap(who, !at(who).traps);
    for (auto count = 1 + pick(5); count > 0; --count) {
      auto kind = pick(100);
      auto& p = at(who);
      if (kind < 25)
        link_to_a_relative(who);
      else if (kind < 28)
        link_to_the_dead(who);
      else if (kind < 45)
        watch_somebody(who);
      else if (kind < 75)
        tell(who, somebody_else(who));
      else if (kind < 85)
        ask(who, somebody_else(who));
      else if (kind < 88)
        run_child(who);
      else if (living_.size() + born_.size() < population_)
        start_child(who, chance(60) && families_[p.family].size() < family_size);
    }
  }

  void link_to_a_relative(id who) {
    if (auto others = relatives(who); !others.empty()) link_to(who, any_of(others));
  }

  /// Only one that traps exits lives on.
  void link_to_the_dead(id who) {
    if (gone_.empty()) return;
    auto whom = gone_[pick(gone_.size())];
    auto& p = at(who);
    if (chaos_ || (p.traps && p.parent != whom && !p.expected.contains(whom))) link_to(who, whom);
  }

  void watch_somebody(id who) {
    if (at(who).monitors.size() < 8) watch(who, somebody_else(who));
  }

  /// Now and then one that has gone.
  id somebody_else(id who) {
    if (!gone_.empty() && chance(4)) return gone_[pick(gone_.size())];
    auto whom = any_of(living_);
    while (whom == who && living_.size() > 1) whom = any_of(living_);
    return whom;
  }

  void everybody_shrinks() {
    for (auto who : living_)
      for (auto count = pick(4); count > 0; --count) shrink(who);
  }

  void shrink(id who) {
    auto& p = at(who);
    auto kind = pick(10);
    if (kind < 4 && !p.links.empty())
      unlink_from(who, *std::next(p.links.begin(), static_cast<int>(pick(p.links.size()))));
    else if (kind < 5)
      unlink_from_a_relative(who);
    else if (kind < 8 && !p.monitors.empty())
      unwatch_somebody(who);
    else
      tell(who, somebody_else(who));
  }

  /// … to which it is perhaps not linked.
  void unlink_from_a_relative(id who) {
    if (auto others = relatives(who); !others.empty()) unlink_from(who, any_of(others));
  }

  void unwatch_somebody(id who) {
    auto& list = at(who).monitors;
    unwatch(who, std::next(list.begin(), static_cast<int>(pick(list.size())))->first);
  }

  void some_die() {
    std::vector<std::uint32_t> all;
    for (auto& [family, members] : families_)
      if (!members.empty()) all.push_back(family);
    for (auto tries = 1 + all.size() * pick(40) / 100; tries > 0; --tries)
      if (auto family = all[pick(all.size())]; claimed_.insert(family).second) death_in(family);
  }

  /// One process does something deadly, and it alone, so that the model knows the order.
  void death_in(std::uint32_t family) {
    auto who = any_of(families_[family]);
    auto kind = pick(12);
    if (kind == 0) return send_exit(driver, who, some_reason(true));
    if (chance(10)) trap(who, !at(who).traps);
    for (auto count = pick(4); count > 0; --count) something_harmless(who);
    if (kind < 5) return end(who);
    if (kind == 5) return send_exit(who, who, some_reason(true));
    if (kind == 6 && !gone_.empty()) return link_to(who, gone_[pick(gone_.size())]);
    auto whom = victim_of(who);
    bool trapped = at(whom).traps;
    // A trapped exit of the parent ends a process when it comes to the message; a kill is faster.
    auto count = trapped && at(whom).parent == who ? 1 : 1 + pick(3);
    for (; count > 0; --count) send_exit(who, whom, some_reason(true));
    // Whoever sends an exit signal and then a monitor finds nobody.
    if (who != whom && chance(50))
      watch(who, whom, trapped ? std::set<std::string>{} : std::set<std::string>{"noproc"});
  }

  void something_harmless(id who) {
    auto whom = somebody_else(who);
    auto kind = pick(4);
    if (kind == 0) return watch(who, whom);
    if (kind == 1) return ask(who, whom);
    tell(who, whom);
  }

  id victim_of(id who) {
    auto stranger = any_of(living_);
    if (chance(30) && claimed_.insert(at(stranger).family).second) return stranger;
    auto others = relatives(who);
    return others.empty() ? who : any_of(others);
  }

  /// Now it is known who dies: what becomes of the monitors and calls of this round?
  void resolve() {
    for (auto& m : new_monitors_) {
      auto& whom = at(m.whom);
      if (whom.alive && at(m.who).alive) {
        at(m.who).monitors.emplace(m.number, m.whom);
        whom.watchers.emplace(m.number, m.who);
      } else if (!whom.alive) {
        auto reasons = whom.died_in < round_ || !m.reasons.empty() ? std::set<std::string>{"noproc"}
                                                                   : ends_of(m.whom);
        at(m.who).expected[m.whom].last.push_back({event::kind::down, m.number, reasons});
      }
    }
    for (auto who : living_) resolve_calls(who);
  }

  void resolve_calls(id who) {
    for (auto& [number, outcome] : at(who).asked) {
      auto& whom = at(outcome.whom);
      outcome.answer = whom.alive || whom.died_in == round_;
      if (!whom.alive) outcome.failures = ends_of(outcome.whom);
    }
  }

  /// What those hear who come to it while it dies, or later.
  std::set<std::string> ends_of(id whom) {
    if (at(whom).died_in < round_) return {"noproc"};
    return {"noproc", at(whom).reason};
  }

  // --- chaos: what is done
  // -----------------------------------------------------------------------------

  void anything_goes() {
    for (auto who : living_) {
      if (chance(70)) anything(who);
      if (chance(10)) quarrel(who);
      if (pick(400) == 0) send_exit(driver, who, some_reason(false));
    }
  }

  void anything(id who) {
    for (auto count = 1 + pick(6); count > 0; --count) {
      auto kind = pick(100);
      if (kind < 20)
        link_to_a_relative(who);
      else if (kind < 22)
        link_to_the_dead(who);
      else if (kind < 35)
        unlink_from_a_relative(who);
      else if (kind < 45)
        watch_somebody(who);
      else if (kind < 52)
        at(who).monitors.empty() ? tell(who, somebody_else(who)) : unwatch_somebody(who);
      else if (kind < 55)
        trap(who, chance(50));
      else if (kind < 57)
        send_exit(who, chance(50) ? any_of(living_) : victim_of(who), some_reason(false));
      else if (kind < 80)
        tell(who, somebody_else(who));
      else if (kind < 88)
        ask(who, somebody_else(who));
      else if (kind < 91)
        run_child(who);
      else if (living_.size() + born_.size() < population_)
        start_child(who, chance(60) && families_[at(who).family].size() < family_size);
    }
    if (chance(2)) end(who);
  }

  /// Two that link and unlink each other at the same time.
  void quarrel(id who) {
    auto others = relatives(who);
    if (others.empty()) return;
    auto whom = any_of(others);
    for (auto count = 2 + pick(4); count > 0; --count) {
      chance(50) ? link_to(who, whom) : unlink_from(who, whom);
      chance(50) ? link_to(whom, who) : unlink_from(whom, who);
    }
  }

  // --- coming to rest
  // ----------------------------------------------------------------------------------

  static constexpr auto patience = 120s;

  /// Asks everybody again and again whether it has handled what it had. A step leads to a call, a
  /// call to an answer, and nothing goes further unless somebody dies; so when nobody has died and
  /// nobody is dying for three times, all is quiet.
  void settle() {
    present_ = {living_.begin(), living_.end()};
    auto deadline = steady::now() + patience;
    for (int calm = 0; calm < 3;) {
      if (steady::now() > deadline) differ(unrest());
      calm = sync_everybody() ? calm + 1 : 0;
    }
  }

  bool sync_everybody() {
    prober::sync_all everybody;
    for (auto who : present_) everybody.all.push_back(at(who).me);
    auto gone = call(prober_, std::move(everybody), patience).get();
    for (auto process : gone) present_.erase(id_of_.at(process));
    bool births = take_in_newborn();
    return gone.empty() && !births && runtime::process_count() == others_ + present_.size();
  }

  bool take_in_newborn() {
    bool found = false;
    for (auto* list : {&born_, &ran_})
      for (auto who : *list) {
        auto& p = at(who);
        if (p.me || !p.book->me) continue;
        found = true;
        p.me = p.book->me;
        id_of_.emplace(p.me, who);
        if (list == &born_) present_.insert(who);
      }
    return found;
  }

  std::string unrest() {
    return "expected the node to come to rest with " + std::to_string(present_.size()) +
           " processes, got " + std::to_string(runtime::process_count() - others_);
  }

  void hear_of_deaths() {
    call(witness_, witness::watch{}, patience).get();  // it has heard of everything before this
    for (auto& death : *deaths_) {
      auto found = id_of_.find(death.process);
      if (found == id_of_.end()) differ("DOWN for an unknown " + to_string(death.process));
      if (!seen_deaths_.emplace(found->second, text(death.reason)).second)
        differ(found->second, "expected one DOWN for the witness, got a second one");
    }
  }

  // --- comparing
  // ---------------------------------------------------------------------------------------

  void check() {
    for (auto* list : {&living_, &born_})
      for (auto who : *list) check_end(who);
    for (auto who : present_) check_events(who);
    check_details();
  }

  void check_end(id who) {
    auto& p = at(who);
    auto seen = seen_deaths_.find(who);
    bool present = present_.contains(who);
    if (p.alive != present)
      differ(who, present ? "expected dead, got alive" : "expected alive, got dead");
    if (present && seen != seen_deaths_.end()) differ(who, "got a DOWN for the living");
    if (present && p.steps && !followed(who)) differ(who, "its script was lost");
    if (present || p.is_new) return;
    if (seen == seen_deaths_.end()) differ(who, "expected a DOWN for the witness, got none");
    if (seen->second != p.reason)
      differ(who, "expected the witness to hear of " + p.reason + ", got " + seen->second);
    check_last_words(who);
  }

  void check_last_words(id who) {
    auto& p = at(who);
    auto& words = p.book->last_words;
    if (words.size() > 1) differ(who, "expected terminate() to run once");
    if (chaos_) {
      if (!words.empty() && text(words.front()) != p.reason)
        differ(who, "terminate() was told " + text(words.front()));
      return;
    }
    if (words.empty() && p.last_words) differ(who, "expected terminate() to run");
    if (!words.empty() && (!p.last_words || text(words.front()) != *p.last_words))
      differ(who, "not expected: terminate() with " + text(words.front()));
  }

  void check_events(id who) {
    auto& p = at(who);
    std::map<id, std::vector<const event*>> seen;
    std::set<id> over;
    auto asked = p.asked;
    for (auto& event : p.book->events) {
      auto from = id_of_.find(event.from);
      if (from == id_of_.end()) differ(who, "from an unknown process: " + show(event));
      check_order(who, from->second, event, over);
      if (event.what == event::kind::answer || event.what == event::kind::unanswered)
        check_outcome(who, from->second, event, asked);
      else if (event.what != event::kind::demonitored)
        seen[from->second].push_back(&event);
      else if (!chaos_ && !event.yes)
        differ(who, "expected an armed monitor: " + show(event));
    }
    if (!asked.empty())
      differ(who, "a call has no outcome: " + std::to_string(asked.begin()->first));
    for (auto& [from, expected] : p.expected)
      if (auto wrong = compare(expected, seen[from]); !wrong.empty()) differ(who, from, wrong);
    for (auto& [from, events] : seen)
      if (!p.expected.contains(from)) differ(who, from, "not expected: " + show(*events.front()));
  }

  /// Nothing that a process says comes after its DOWN.
  void check_order(id who, id from, const event& event, std::set<id>& over) {
    if (event.what == event::kind::down) over.insert(from);
    bool said = event.what == event::kind::note || event.what == event::kind::question ||
                event.what == event::kind::answer;
    if (said && over.contains(from)) differ(who, from, "after its DOWN: " + show(event));
  }

  void check_outcome(id who, id from, const event& event, std::map<std::uint64_t, outcome>& asked) {
    auto found = asked.find(event.number);
    if (found == asked.end() || found->second.whom != from)
      differ(who, from, "not expected: " + show(event));
    bool answered = event.what == event::kind::answer;
    if (answered ? !found->second.answer : !found->second.failures.contains(text(event.reason)))
      differ(who, from, "wrong outcome of a call: " + show(event));
    asked.erase(found);
  }

  void check_details() {
    std::map<id, process_details> all;
    auto deadline = steady::now() + patience;
    while (all.size() < present_.size()) {
      if (steady::now() > deadline) differ("expected process_info for all that live");
      prober::look_at_all rest;
      for (auto who : present_)
        if (!all.contains(who)) rest.all.push_back(at(who).me);
      for (auto& info : call(prober_, std::move(rest), patience).get())
        all.emplace(id_of_.at(info.process), std::move(info));
    }
    for (auto& [who, info] : all) check_details_of(who, info);
    if (chaos_) check_symmetry();
  }

  void check_details_of(id who, const process_details& info) {
    auto& p = at(who);
    auto links = ids_of(who, info.links);
    if (chaos_)
      adopt_links(who, {links.begin(), links.end()});
    else
      check_same(who, "links", {p.links.begin(), p.links.end()}, links);
    check_same(who, "monitors", values_of(p.monitors), ids_of(who, info.monitors));
    auto watchers = values_of(p.watchers);
    if (!p.is_new) watchers.push_back(observer);
    check_same(who, "watchers", watchers, ids_of(who, info.monitored_by));
    if (info.trap_exit != p.traps) differ(who, "expected another trap_exit");
    if (info.message_queue_len != 0) differ(who, "expected an empty mailbox");
  }

  std::vector<id> ids_of(id who, const std::vector<pid>& processes) {
    std::vector<id> found;
    for (auto process : processes) {
      auto known = id_of_.find(process);
      if (known == id_of_.end()) differ(who, "process_info shows an unknown " + to_string(process));
      found.push_back(known->second);
    }
    return found;
  }

  static std::vector<id> values_of(const std::map<std::uint64_t, id>& map) {
    std::vector<id> found;
    for (auto& [number, value] : map) found.push_back(value);
    return found;
  }

  void check_same(id who, const char* what, std::vector<id> expected, std::vector<id> seen) {
    std::sort(expected.begin(), expected.end());
    std::sort(seen.begin(), seen.end());
    if (expected == seen) return;
    differ(who, "expected as " + std::string(what) + names_of(expected) + ", got" + names_of(seen));
  }

  static std::string names_of(const std::vector<id>& list) {
    std::string line;
    for (auto who : list) line += " " + std::to_string(who);
    return line.empty() ? " none" : line;
  }

  // --- chaos: what must hold afterwards
  // ------------------------------------------------------------------

  bool followed(id who) { return at(who).steps && at(who).book->scripts > at(who).scripts_before; }
  pair_history& pair(id a, id b) { return pairs_[{std::min(a, b), std::max(a, b)}]; }

  void reconstruct() {
    for (auto* list : {&living_, &born_})
      for (auto who : *list) look_back(who);
    for (auto who : living_)
      if (followed(who)) note_facts(who);
    for (auto who : living_)
      if (followed(who)) note_traffic(who);
    for (auto& [whom, reason] : driver_exits_) note_exit(driver, whom, reason);
    for (auto& [ids, history] : pairs_) {
      expect_exit(ids.first, ids.second, history, history.by_lower);
      expect_exit(ids.second, ids.first, history, history.by_higher);
    }
    for (auto who : living_) {
      resolve_calls(who);
      explain_end(who);
      if (at(who).alive) expect_downs(who);
    }
  }

  /// Takes over who has died, and why.
  void look_back(id who) {
    auto& p = at(who);
    auto& history = singles_[who];
    history.always_traps = p.traps;
    history.never_traps = !p.traps;
    for (auto other : p.links) pair(who, other).before = true;
    p.watchers.clear();
    if (present_.contains(who)) return;
    p.alive = false;
    p.died_in = round_;
    auto seen = seen_deaths_.find(who);
    p.reason = seen == seen_deaths_.end() ? std::string() : seen->second;  // the newborn: unknown
  }

  void note_facts(id who) {
    auto& p = at(who);
    auto& history = singles_[who];
    for (auto& step : *p.steps) {
      ++history.done;
      if (step.what == step::kind::link) ++links_by(who, step.target);
      if (step.what == step::kind::unlink) pair(who, step.target).unlinked = true;
      if (step.what == step::kind::start_linked) pair(who, step.target).started = true;
      if (step.what == step::kind::trap) p.traps = step.flag;
      history.always_traps &= p.traps;
      history.never_traps &= !p.traps;
      if (step.child && !step.child->me) differ(who, "its child was not started");
      if (auto reason = end_of(who, step); !reason.empty()) {
        history.reasons.insert(reason);
        history.must_die = reason;
        break;
      }
    }
  }

  int& links_by(id who, id whom) {
    auto& history = pair(who, whom);
    return who < whom ? history.by_lower : history.by_higher;
  }

  /// Whether, and for what reason, the script ends with this step.
  std::string end_of(id who, const step& step) {
    if (step.what == step::kind::fail) return crash_reason(step.number);
    if (step.what == step::kind::stop || step.what == step::kind::leave) return text(step.reason);
    if (step.what != step::kind::exit || step.target != who) return {};
    if (step.reason == exit_reason::kill) return "killed";
    return at(who).traps ? std::string() : text(step.reason);
  }

  void note_traffic(id who) {
    auto& history = singles_[who];
    for (std::size_t i = 0; i < history.done; ++i) {
      auto& step = (*at(who).steps)[i];
      if (step.what == step::kind::tell)
        expect_message(event::kind::note, who, step.target, step.number);
      if (step.what == step::kind::ask)
        expect_message(event::kind::question, who, step.target, step.number);
      if (step.what == step::kind::run) expect_run(who, step);
      if (step.what == step::kind::exit) note_exit(who, step.target, step.reason);
    }
  }

  void note_exit(id who, id whom, const exit_reason& reason) {
    auto& history = singles_[whom];
    bool kill = reason == exit_reason::kill;
    auto why = kill ? "killed" : text(reason);
    history.reasons.insert(why);
    bool from_parent = at(whom).parent == who;
    if (kill || history.never_traps || (history.always_traps && from_parent))
      history.must_die = why;
    else if (!from_parent)
      at(whom).expected[who].in_order.push_back(
          {event::kind::exited, 0, {why}, !history.always_traps});
  }

  /// What `who` must see of the end of `from`, as far as a link goes.
  void expect_exit(id who, id from, const pair_history& history, int links_by_who) {
    auto& p = at(who);
    auto& dead = at(from);
    if (!p.alive || dead.alive || history.never()) return;
    auto reasons = links_by_who > 0 ? ends_of(from) : std::set<std::string>{dead.reason};
    bool unknown = dead.reason.empty();
    bool harmless = unknown || reasons.contains("normal");
    auto& traps = singles_[who];
    bool own_parent =
        p.parent == from;  // its exit ends one that traps, and passes by one that does not
    if (history.surely() && !harmless && (traps.never_traps || own_parent))
      differ(who, from, "expected it to die with the other, of " + *reasons.begin());
    if (own_parent) return;
    bool required = history.surely() && (!harmless || traps.always_traps);
    if (unknown) reasons.clear();
    for (auto i = history.links(); i > 0; --i, required = false)
      p.expected[from].last.push_back({event::kind::exited, 0, reasons, !required});
  }

  void explain_end(id who) {
    auto& p = at(who);
    auto& history = singles_[who];
    if (p.alive && !history.must_die.empty())
      differ(who, "expected it to die of " + history.must_die + ", got alive");
    if (p.alive || history.reasons.contains(p.reason)) return;
    for (auto& [ids, of_pair] : pairs_) {
      if ((ids.first != who && ids.second != who) || of_pair.never()) continue;
      auto& other = at(ids.first == who ? ids.second : ids.first);
      if (other.alive) continue;
      if (other.reason == p.reason || other.reason.empty()) return;
      auto links = ids.first == who ? of_pair.by_lower : of_pair.by_higher;
      if (p.reason == "noproc" && links > 0) return;
    }
    differ(who, "nothing explains that it died of " + p.reason);
  }

  void expect_downs(id who) {
    auto& p = at(who);
    auto before = std::exchange(p.monitors, {});
    std::map<std::uint64_t, bool> taken_back;  // and whether it was still armed
    for (auto& event : p.book->events)
      if (event.what == event::kind::demonitored) taken_back[event.number] = event.yes;
    std::set<std::uint64_t> flushed;
    for (std::size_t i = 0; i < singles_[who].done; ++i) {
      auto& step = (*p.steps)[i];
      if (step.what == step::kind::demonitor && step.flag) flushed.insert(step.number);
    }
    for (auto& [number, whom] : before) expect_down(who, whom, number, false, taken_back, flushed);
    for (std::size_t i = 0; i < singles_[who].done; ++i) {
      auto& step = (*p.steps)[i];
      if (step.what == step::kind::monitor)
        expect_down(who, step.target, step.number, true, taken_back, flushed);
    }
  }

  void expect_down(
      id who, id whom, std::uint64_t number, bool is_new,
      const std::map<std::uint64_t, bool>& taken_back, const std::set<std::uint64_t>& flushed) {
    auto& p = at(who);
    auto found = taken_back.find(number);
    if (found != taken_back.end() && found->second) return;
    if (at(whom).alive) {
      if (found != taken_back.end()) differ(who, whom, "expected the monitor to be armed");
      p.monitors.emplace(number, whom);
      at(whom).watchers.emplace(number, who);
      return;
    }
    if (found != taken_back.end() && flushed.contains(number)) return;
    auto reasons = is_new ? ends_of(whom) : std::set<std::string>{at(whom).reason};
    p.expected[whom].last.push_back({event::kind::down, number, reasons});
  }

  void adopt_links(id who, std::set<id> links) {
    for (auto other : links) {
      if (!present_.contains(other)) differ(who, other, "expected no link to the dead");
      if (pair(who, other).never()) differ(who, other, "expected no link");
    }
    at(who).links = std::move(links);
  }

  void check_symmetry() {
    for (auto& [ids, history] : pairs_) {
      auto [a, b] = ids;
      if (!present_.contains(a) || !present_.contains(b)) continue;
      bool here = at(a).links.contains(b);
      bool there = at(b).links.contains(a);
      if (here != there) differ(a, b, "expected a link to have two ends");
      if (history.surely() && !here) differ(a, b, "expected a link");
    }
  }

  // --- the end of a round
  // ----------------------------------------------------------------------------------

  void finish() {
    for (auto* list : {&living_, &born_})
      for (auto who : *list) rest(who);
    for (auto who : ran_) forget(who);
    ran_.clear();
    auto gone_before = gone_.size();
    bury(living_);
    bury(born_);
    for (auto i = gone_before; i < gone_.size(); ++i) check_nothing_left(gone_[i]);
    while (gone_.size() > remembered) {
      forget(gone_.front());
      gone_.pop_front();
    }
    deaths_->clear();
    seen_deaths_.clear();
    welcome();
    if (living_.size() < population_ * 3 / 4) start_from_outside(population_ / 20);
  }

  void rest(id who) {
    auto& p = at(who);
    p.steps.reset();
    p.book->events.clear();
  }

  /// Moves the dead from the list to those that have gone.
  void bury(std::vector<id>& list) {
    std::erase_if(list, [&](id who) {
      auto& p = at(who);
      if (p.alive) return false;
      if (!p.is_new) std::erase(families_[p.family], who);
      p.links.clear();
      p.monitors.clear();
      p.watchers.clear();
      ++ends_;
      if (p.me)
        gone_.push_back(who);
      else
        all_.erase(who);  // whoever should have started it died before
      return true;
    });
  }

  /// The state of a process goes with it; who has sent the script may hold on to it a moment
  /// longer.
  void check_nothing_left(id who) {
    auto& p = at(who);
    if (!eventually([&] { return p.book.use_count() == 1; })) differ(who, "its state lives on");
  }

  void forget(id who) {
    if (auto known = id_of_.find(at(who).me); known != id_of_.end()) id_of_.erase(known);
    all_.erase(who);
  }

  // --- telling of a difference
  // -------------------------------------------------------------------------------

  [[noreturn]] void differ(const std::string& what) {
    throw difference("round " + std::to_string(round_) + " (" + name_ + "): " + what);
  }
  [[noreturn]] void differ(id who, const std::string& what) {
    differ(what + "\n" + view(who, who) + doings_around(who));
  }
  [[noreturn]] void differ(id who, id about, const std::string& what) {
    differ(what + "\n" + view(who, about) + (all_.contains(about) ? view(about, who) : ""));
  }

  /// What the model and the process itself say; of messages, those that come from `about`.
  std::string view(id who, id about) {
    auto& p = at(who);
    std::string lines = "process " + std::to_string(who) + " " + to_string(p.me) +
                        (p.alive ? ", alive" : ", died of " + p.reason) +
                        (p.traps ? ", traps exits" : "") + ", child of " +
                        std::to_string(p.parent) + ", linked to" +
                        names_of({p.links.begin(), p.links.end()}) + "\n";
    lines += doings(who);
    for (auto& [from, expected] : p.expected) {
      if (from != about && who != about) continue;
      lines += "  expected of " + std::to_string(from) + ":";
      for (auto& item : expected.in_order) lines += " " + show(item) + ";";
      for (auto& item : expected.last) lines += " at last " + show(item) + ";";
      lines += "\n";
    }
    for (auto& event : p.book->events) {
      auto from = id_of_.find(event.from);
      if (from == id_of_.end() || from->second == about || who == about)
        lines += "  seen of " + to_string(event.from) + ": " + show(event) + "\n";
    }
    return lines;
  }

  std::string doings(id who) {
    auto& p = at(who);
    if (!p.steps) return {};
    std::string line = "  " + std::to_string(who) + (followed(who) ? " did:" : " should do:");
    for (auto& step : *p.steps) line += " " + show(step);
    return line + "\n";
  }

  /// Of the family, and of those that do something to it.
  std::string doings_around(id who) {
    std::string lines;
    auto family = at(who).family;
    for (auto other : living_) {
      bool near = at(other).family == family;
      if (at(other).steps)
        for (auto& step : *at(other).steps)
          near |= step.what == step::kind::exit && at(step.target).family == family;
      if (near && other != who) lines += doings(other);
    }
    for (auto& [whom, reason] : driver_exits_)
      if (at(whom).family == family)
        lines += "  the driver: exit " + std::to_string(whom) + " " + text(reason) + "\n";
    return lines;
  }

  struct new_monitor {
    id who;
    id whom;
    std::uint64_t number;
    std::set<std::string> reasons;
  };

  std::mt19937_64 random_;
  std::size_t population_;
  std::shared_ptr<std::vector<down>> deaths_ = std::make_shared<std::vector<down>>();
  server<witness> witness_;
  server<prober> prober_;
  std::size_t others_ = 0;  // processes that are not driven

  std::map<id, modelled> all_;
  std::unordered_map<pid, id> id_of_;
  std::vector<id> living_;
  std::deque<id> gone_;  // lately
  std::map<std::uint32_t, std::vector<id>> families_;
  id ids_made_ = observer;
  std::uint32_t families_made_ = 0;
  std::uint64_t monitors_made_ = 0;
  std::uint64_t reasons_made_ = 0;
  std::uint64_t round_ = 0;
  std::uint64_t steps_ = 0;
  std::uint64_t ends_ = 0;

  // This round.
  const char* name_ = "start";
  bool chaos_ = false;
  std::set<std::uint32_t> claimed_;  // families in which something deadly happens
  std::vector<id> born_;
  std::vector<id> ran_;
  std::vector<new_monitor> new_monitors_;
  std::vector<std::pair<id, exit_reason>> driver_exits_;
  std::deque<exit_on_its_way> on_their_way_;
  std::set<id> present_;
  std::map<id, std::string> seen_deaths_;
  std::map<std::pair<id, id>, pair_history> pairs_;
  std::map<id, single_history> singles_;
};

// --- the tests -----------------------------------------------------------------------------------

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  auto* text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

/// Thousands of crashes have thousands of reports.
struct no_log {
  no_log() { logger::detach(logger::default_handler); }
  no_log(const no_log&) = delete;
  no_log& operator=(const no_log&) = delete;
  ~no_log() { configure_logger(logger_options{}); }
};

void drive(std::uint64_t seed, std::chrono::seconds time) {
  seed = from_environment("ROOST_MODEL_SEED", seed);
  time = std::chrono::seconds(
      from_environment("ROOST_MODEL_SECONDS", static_cast<std::uint64_t>(time.count())));
  no_log quiet;
  runtime runtime{{.schedulers = 4}};
  auto end = steady::now() + time;
  try {
    driven_world world{seed, from_environment("ROOST_MODEL_PROCESSES", 3000)};
    do world.round();
    while (steady::now() < end);
    MESSAGE(
        "seed " << seed << ": " << world.rounds() << " rounds, " << world.steps() << " steps, "
                << world.ends() << " ends, " << world.living() << " alive");
  } catch (const std::exception& error) {
    FAIL("with seed " << seed << ", " << std::string(error.what()));
  }
}

}  // namespace

TEST_CASE("thousands of processes do what the model says") { drive(1, 10s); }

// An hour, in four nodes.
TEST_CASE("… for a quarter of an hour" * doctest::test_suite("long")) { drive(2, 15min); }
TEST_CASE("… for a second quarter" * doctest::test_suite("long")) { drive(3, 15min); }
TEST_CASE("… for a third quarter" * doctest::test_suite("long")) { drive(4, 15min); }
TEST_CASE("… for the last quarter of an hour" * doctest::test_suite("long")) { drive(5, 15min); }
