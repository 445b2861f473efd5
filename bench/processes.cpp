// Processes against the BEAM: the same work here and in processes.erl, in one run.
#include "bench/table.hpp"
#include "runtime/ets.hpp"
#include "runtime/gen_server.hpp"
#include "runtime/runtime.hpp"
#include <malloc.h>
#include <unistd.h>
#include <algorithm>
#include <cstring>
#include <filesystem>
#include <functional>
#include <future>

using namespace roost;
using namespace std::chrono_literals;

namespace {

using done_signal = std::shared_ptr<std::promise<void>>;

/// Runs `start` with a promise that the work keeps, three times; answers the best rate per second.
double best_rate(double count, const std::function<void(done_signal)>& start) {
  double best = 0;
  for (int i = 0; i < 3; ++i) {
    auto done = std::make_shared<std::promise<void>>();
    auto begin = std::chrono::steady_clock::now();
    start(done);
    done->get_future().wait();
    std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    best = std::max(best, count / took.count());
  }
  return best;
}

double resident_bytes() {
  std::ifstream file("/proc/self/statm");
  double size = 0, pages = 0;
  file >> size >> pages;
  return pages * static_cast<double>(::sysconf(_SC_PAGESIZE));
}

struct counter {
  struct get { using reply = int; };
  struct bump { int by = 1; };
  using messages = roost::messages<get, bump>;
  int value = 0;
  int handle_call(get) const { return value; }
  void handle_cast(bump message) { value += message.by; }
};

// --- figures
// ---------------------------------------------------------------------------------------

double bytes_idle() {
  constexpr int count = 100'000;
  auto done = std::make_shared<std::promise<double>>();
  auto pids = std::make_shared<std::vector<server<counter>>>();
  pids->reserve(count);
  auto before = resident_bytes();
  spawn([pids, done] {
    for (int i = 0; i < count; ++i) pids->push_back(roost::start<counter>(0));
    done->set_value(0);
  });
  done->get_future().wait();
  for (auto& one : *pids) (void)call(one, counter::get{}).get();
  auto bytes =
      (resident_bytes() - before - count * static_cast<double>(sizeof(server<counter>))) / count;
  for (auto& one : *pids) exit(one.process(), exit_reason::kill);
  while (runtime::process_count() > 1) std::this_thread::yield();
  ::malloc_trim(0);
  return bytes;
}

double spawn_rate() {
  constexpr int count = 200'000;
  return best_rate(count, [](done_signal done) {
    spawn([done] {
      for (int i = 1; i < count; ++i) spawn([] {});
      spawn([done] { done->set_value(); });
    });
  });
}

/// Spawns and monitors, one after the other: the next one when the DOWN has come.
struct monitor_loop {
  using messages = roost::messages<>;
  done_signal done;
  int left;
  static init_result<monitor_loop> init(done_signal done, int count) {
    spawn_monitor([] {});
    return monitor_loop{done, count};
  }
  cast_result handle_info(const down&) {
    if (--left == 0) {
      done->set_value();
      return stop(exit_reason::normal);
    }
    spawn_monitor([] {});
    return noreply();
  }
};

struct ping {
  pid from;
  int n;
};
struct pong { int n; };
struct echo {
  using messages = roost::messages<>;
  using infos = roost::messages<ping>;
  void handle_info(ping p) { send(p.from, pong{p.n}); }
};
struct pinger {
  using messages = roost::messages<>;
  using infos = roost::messages<pong>;
  done_signal done;
  pid other;
  static init_result<pinger> init(done_signal done, int count) {
    auto other = roost::start_link<echo>().process();
    send(other, ping{self(), count});
    return pinger{done, other};
  }
  cast_result handle_info(pong p) {
    if (p.n == 0) {
      done->set_value();
      return stop(exit_reason::shutdown);
    }
    send(other, ping{self(), p.n - 1});
    return noreply();
  }
};

struct hop { int left; };
struct next_is { pid next; };
struct ring_member {
  using messages = roost::messages<>;
  using infos = roost::messages<hop, next_is>;
  done_signal done;  // of the head only
  pid next;
  void handle_info(next_is n) { next = n.next; }
  cast_result handle_info(hop h) {
    if (done && h.left-- == 0) {
      done->set_value();
      return stop(exit_reason::shutdown);
    }
    send(next, h);
    return noreply();
  }
};

double ring_rate() {
  constexpr int members = 1000, rounds = 1000;
  return best_rate(members * rounds, [](done_signal done) {
    spawn([done] {
      auto head = roost::start<ring_member>(done, pid{}).process();
      auto next = head;
      for (int i = 1; i < members; ++i)
        next = roost::start<ring_member>(done_signal{}, next).process();
      send(head, next_is{next});
      send(head, hop{rounds});
    });
  });
}

struct sink {
  using messages = roost::messages<>;
  using infos = roost::messages<int>;
  done_signal done;
  int left;
  cast_result handle_info(int) {
    if (--left > 0) return noreply();
    done->set_value();
    return stop(exit_reason::normal);
  }
};

double one_way_rate() {
  constexpr int count = 1'000'000;
  return best_rate(count, [](done_signal done) {
    spawn([done] {
      auto to = roost::start<sink>(done, count).process();
      for (int i = 0; i < count; ++i) send(to, i);
    });
  });
}

/// Calls the server again and again.
struct caller {
  using messages = roost::messages<>;
  using infos = roost::messages<int>;
  server<counter> to;
  std::function<void()> finished;
  int left;
  void next() {
    call(to, counter::get{}).then([this](int) {
      if (--left > 0) return next();
      finished();
      roost::exit(self(), exit_reason::kill);
    });
  }
  void handle_info(int) { next(); }
};

double call_rate(int callers, int each) {
  auto to = roost::start<counter>(1);
  auto rate = best_rate(callers * each, [&](done_signal done) {
    auto left = std::make_shared<std::atomic<int>>(callers);
    std::function<void()> finished = [left, done] {
      if (left->fetch_sub(1) == 1) done->set_value();
    };
    for (int i = 0; i < callers; ++i) send(roost::start<caller>(to, finished, each).process(), 0);
  });
  exit(to.process(), exit_reason::kill);
  return rate;
}

double timer_rate() {
  constexpr int count = 500'000;
  return best_rate(count, [](done_signal done) {
    spawn([done] {
      for (int i = 0; i < count; ++i) send_after(30s, self(), 1).cancel();
      done->set_value();
    });
  });
}

std::map<std::string, double> run_erlang() {
  auto directory = std::filesystem::temp_directory_path() / "roost_bench_erl";
  std::filesystem::create_directories(directory);
  return bench::run_peer(
      "cd bench && erlc -o " + directory.string() +
      " processes.erl && erl +S 2 +P 2000000 -noshell -pa " + directory.string() +
      " -s processes main 2>/dev/null");
}

// --- tables --------------------------------------------------------------------------------------

struct row_of_two {
  std::int64_t key;
  std::int64_t value;
};
using table = ets::set<row_of_two, &row_of_two::key>;
constexpr std::int64_t table_rows = 100'000;

void fill(table& rows) {
  for (auto key = table_rows; key > 0; --key) rows.insert({key, key});
}

/// Deleting a table is not part of it, here and in processes.erl, and is over before the next
/// round.
double ets_insert_rate() {
  double best = 0;
  for (int i = 0; i < 3; ++i) {
    std::promise<double> rate;
    spawn([&rate] {
      std::chrono::duration<double> took{};
      {
        table rows{{.access = ets::public_}};
        auto begin = std::chrono::steady_clock::now();
        fill(rows);
        took = std::chrono::steady_clock::now() - begin;
      }
      rate.set_value(table_rows / took.count());
    });
    best = std::max(best, rate.get_future().get());
  }
  return best;
}

double ets_lookup_rate() {
  constexpr int count = 1'000'000;
  table rows{{.access = ets::public_}};
  fill(rows);
  return best_rate(count, [rows](done_signal done) {
    spawn([done, rows] {
      std::int64_t random = 12345;
      std::int64_t found = 0;
      for (int i = 0; i < count; ++i) {
        random = (random * 1103515245 + 12345) & 0x7fffffff;
        found += rows.lookup(random % table_rows + 1).has_value() ? 1 : 0;
      }
      if (found == count) done->set_value();
    });
  });
}

}  // namespace

int main(int argc, char** argv) {
  auto beam = run_erlang();
  runtime runtime{{.schedulers = 2}};
  std::vector<bench::row> rows;
  auto add = [&](std::string figure, std::string unit, double value, const char* key,
                 bool less = false) {
    rows.push_back({figure, unit, value, "BEAM", beam[key], 0, less});
  };
  add("memory of an idle gen_server", "bytes", bytes_idle(), "bytes_idle", true);
  add("spawn", "1/s", spawn_rate(), "spawn");
  add("spawn, monitor, exit, DOWN", "1/s",
      best_rate(200'000, [](done_signal done) { roost::start<monitor_loop>(done, 200'000); }),
      "spawn_monitor_exit");
  add("ping-pong, one pair", "msgs/s",
      best_rate(2'000'000, [](done_signal done) { roost::start<pinger>(done, 1'000'000); }),
      "ping_pong");
  add("ring of 1,000", "hops/s", ring_rate(), "ring");
  add("one-way send", "msgs/s", one_way_rate(), "one_way");
  add("gen_server call, 1 caller", "calls/s", call_rate(1, 300'000), "call_1");
  add("gen_server call, 100 callers", "calls/s", call_rate(100, 5'000), "call_100");
  add("send_after and cancel", "1/s", timer_rate(), "timer");
  add("ets insert", "1/s", ets_insert_rate(), "ets_insert");
  add("ets lookup", "1/s", ets_lookup_rate(), "ets_lookup");
  bench::print(rows);
  if (argc == 3 && std::strcmp(argv[1], "--json") == 0) bench::write_json(rows, argv[2]);
}
