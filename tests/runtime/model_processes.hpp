// The processes that model_test.cpp drives: they do what a script says and write down what they
// see.
#pragma once
#include "runtime/process_info.hpp"
#include "tests/support.hpp"
#include <algorithm>
#include <atomic>

namespace roost::test {

/// What happened to a process, as it saw it.
struct event {
  enum class kind { note, question, exited, down, answer, unanswered, demonitored, overlap };
  kind what;
  pid from;
  std::uint64_t number = 0;  // of the message, or of the monitor; 0: of no monitor that it knows
  exit_reason reason = {};
  bool yes = false;  // demonitored: it was still armed
};

/// Written by its process alone, read by the driver while the process rests.
struct diary {
  pid me;
  std::uint64_t scripts = 0;  // how many it has begun
  std::vector<event> events;
  std::vector<exit_reason> last_words;  // of terminate()
  std::atomic<int> inside{0};           // handlers that run at this moment
};

struct step {
  enum class kind {
    link,
    unlink,
    monitor,
    demonitor,
    trap,
    tell,
    ask,
    exit,  // things that one does
    start,
    start_linked,
    run,  // new processes
    stop,
    leave,
    fail  // ends of oneself
  };
  kind what;
  std::uint32_t target = 0;  // what the model calls `whom`
  pid whom = {};
  std::uint64_t number = 0;   // of the message or monitor; run: how many messages
  std::uint64_t monitor = 0;  // run
  exit_reason reason = {};
  bool flag = false;  // trap: on or off; demonitor: with flush; run: ends with a crash
  std::shared_ptr<diary> child = {};
};
using script = std::vector<step>;

struct note {
  pid sender;
  std::uint64_t number;
};

std::string crash_text(std::uint64_t number) { return "crash " + std::to_string(number); }

class subject {
 public:
  struct follow { std::shared_ptr<const script> steps; };
  struct question {
    using reply = std::uint64_t;
    pid asker;
    std::uint64_t number;
  };
  struct sync { using reply = void; };
  using messages = roost::messages<follow, question, sync>;
  using infos = roost::messages<note>;

  explicit subject(std::shared_ptr<diary> book) : book_(std::move(book)) {}

  static init_result<subject> init(std::shared_ptr<diary> book) {
    book->me = self();
    return subject(std::move(book));
  }

  cast_result handle_cast(const follow& f) {
    alone guard{*this};
    ++book_->scripts;
    for (auto& step : *f.steps) {
      if (step.what == step::kind::stop) return roost::stop(step.reason);
      take(step);
    }
    return noreply();
  }
  std::uint64_t handle_call(question q) {
    alone guard{*this};
    add({event::kind::question, q.asker, q.number});
    return q.number + 1;
  }
  void handle_call(sync) { alone guard{*this}; }

  void handle_info(note n) {
    alone guard{*this};
    add({event::kind::note, n.sender, n.number});
  }
  void handle_info(const exited& e) {
    alone guard{*this};
    add({event::kind::exited, e.from, 0, e.reason});
  }
  void handle_info(const down& d) {
    alone guard{*this};
    auto found = find(d.ref);
    auto number = found != monitors_.end() ? found->number : 0;
    if (found != monitors_.end()) monitors_.erase(found);
    add({event::kind::down, d.process, number, d.reason});
  }
  void terminate(const exit_reason& reason) { book_->last_words.push_back(reason); }
  std::string format_status() const { return "subject"; }

 private:
  struct armed {
    reference ref;
    std::uint64_t number;
  };

  /// Two handlers of one process at the same time would be the end of everything.
  class alone {
   public:
    explicit alone(subject& who) : who_(who) {
      if (who_.book_->inside.fetch_add(1) != 0) who_.add({event::kind::overlap, self()});
    }
    alone(const alone&) = delete;
    alone& operator=(const alone&) = delete;
    ~alone() { who_.book_->inside.fetch_sub(1); }

   private:
    subject& who_;
  };

  void add(event event) { book_->events.push_back(std::move(event)); }

  std::vector<armed>::iterator find(reference ref) {
    return std::find_if(monitors_.begin(), monitors_.end(), [&](auto& m) { return m.ref == ref; });
  }

  void take(const step& step) {
    switch (step.what) {
      case step::kind::link:
        return link(step.whom);
      case step::kind::unlink:
        return unlink(step.whom);
      case step::kind::monitor:
        return monitors_.push_back({monitor(step.whom), step.number});
      case step::kind::demonitor:
        return take_back(step);
      case step::kind::trap:
        return void(trap_exit(step.flag));
      case step::kind::tell:
        return send(step.whom, note{self(), step.number});
      case step::kind::ask:
        return ask(step);
      case step::kind::exit:
        return exit(step.whom, step.reason);
      case step::kind::start:
        return void(roost::start<subject>(step.child));
      case step::kind::start_linked:
        return void(roost::start_link<subject>(step.child));
      case step::kind::run:
        return run(step);
      case step::kind::stop:
        return;
      case step::kind::leave:
        exit(step.reason);
      case step::kind::fail:
        throw std::runtime_error(crash_text(step.number));
    }
  }

  void take_back(const step& step) {
    auto found = std::find_if(
        monitors_.begin(), monitors_.end(), [&](auto& m) { return m.number == step.number; });
    if (found == monitors_.end()) return;  // it fired before
    bool was_armed = demonitor(found->ref, {.flush = step.flag});
    add({event::kind::demonitored, step.whom, step.number, {}, was_armed});
    if (was_armed || step.flag) monitors_.erase(found);
  }

  void ask(const step& step) {
    auto number = step.number;
    auto whom = step.whom;
    call(server<subject>(whom), question{self(), number}, 300s)
        .then(
            [this, whom, number](std::uint64_t answer) {
              add({event::kind::answer, whom, answer == number + 1 ? number : 0});
            },
            [this, whom, number](const exit_reason& reason) {
              add({event::kind::unanswered, whom, number, reason});
            });
  }

  /// A process that sends a few messages and ends.
  void run(const step& step) {
    auto work = [to = self(), count = step.number, fails = step.flag] {
      for (std::uint64_t i = 1; i <= count; ++i) send(to, note{self(), i});
      if (fails) throw std::runtime_error(crash_text(count));
    };
    auto [process, ref] = spawn_monitor(work);
    step.child->me = process;
    monitors_.push_back({ref, step.monitor});
  }

  std::shared_ptr<diary> book_;
  std::vector<armed> monitors_;
};

/// Learns how each process ended.
struct witness {
  struct watch {
    using reply = void;
    std::vector<pid> all;
  };
  using messages = roost::messages<watch>;
  std::shared_ptr<std::vector<down>> deaths;
  void handle_call(const watch& w) {
    for (auto process : w.all) monitor(process);
  }
  void handle_info(const down& d) { deaths->push_back(d); }
};

/// Asks everybody at once.
struct prober {
  struct sync_all {
    using reply = std::vector<pid>;  // those that have gone
    std::vector<pid> all;
  };
  struct look_at_all {
    using reply = std::vector<process_details>;
    std::vector<pid> all;
  };
  using messages = roost::messages<sync_all, look_at_all>;

  template <class T>
  struct gathering {
    std::size_t open;
    std::vector<T> found = {};
    roost::from<std::vector<T>> asker;
    void one_less() {
      if (--open == 0) asker.reply(std::move(found));
    }
  };

  call_result<std::vector<pid>> handle_call(sync_all m, roost::from<std::vector<pid>> asker) {
    auto all = std::make_shared<gathering<pid>>(m.all.size() + 1, std::vector<pid>{}, asker);
    for (auto process : m.all)
      call(server<subject>(process), subject::sync{}, infinity)
          .then(
              [all] { all->one_less(); },
              [all, process](const exit_reason&) {
                all->found.push_back(process);
                all->one_less();
              });
    all->one_less();
    return noreply();
  }

  call_result<std::vector<process_details>> handle_call(
      look_at_all m, roost::from<std::vector<process_details>> asker) {
    auto all = std::make_shared<gathering<process_details>>(
        m.all.size() + 1, std::vector<process_details>{}, asker);
    for (auto process : m.all)
      process_info(process).then(
          [all](std::optional<process_details> info) {
            if (info) all->found.push_back(std::move(*info));
            all->one_less();
          },
          [all](const exit_reason&) { all->one_less(); });  // no answer in time: asked again
    all->one_less();
    return noreply();
  }
};

}  // namespace roost::test
