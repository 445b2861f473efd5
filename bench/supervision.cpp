// Supervisors against OTP's: the same work here and in supervision.erl, in one run.
#include "bench/table.hpp"
#include "runtime/logger.hpp"
#include "runtime/runtime.hpp"
#include "supervision/dynamic_supervisor.hpp"
#include "supervision/supervisor.hpp"
#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <future>

using namespace roost;
using namespace std::chrono_literals;

namespace {

constexpr int any_number = 1'000'000'000;  // of restarts
using rate_promise = std::shared_ptr<std::promise<double>>;
using clock_type = std::chrono::steady_clock;

double per_second(double count, clock_type::time_point begin) {
  return count / std::chrono::duration<double>(clock_type::now() - begin).count();
}

/// Best of three.
template <class F>
double best(F measure) {
  return std::max({measure(), measure(), measure()});
}

struct started { pid child; };

/// A child that says when it has started.
struct crier {
  using messages = roost::messages<>;
  static init_result<crier> init(pid to) {
    send(to, started{self()});
    return crier{};
  }
};

/// A child that does nothing.
struct idler {
  using messages = roost::messages<>;
  static constexpr roost::child_options child_options{.restart = temporary};
};
struct stayer { using messages = roost::messages<>; };

/// Kills all children, waits for their successors, and so on.
struct killer {
  using messages = roost::messages<>;
  using infos = roost::messages<started>;

  rate_promise done;
  int children;
  int rounds;
  pid supervisor = {};
  clock_type::time_point begin = {};
  std::vector<pid> alive = {};

  static init_result<killer> init(rate_promise done, int children, int rounds) {
    killer state{done, children, rounds};
    supervisor_spec spec{.max_restarts = any_number, .max_seconds = 1s};
    for (int i = 0; i < children; ++i)
      spec.children.push_back(with(child<crier>(self()), {.id = std::to_string(i)}));
    state.supervisor = start_link(std::move(spec));
    return state;
  }
  cast_result handle_info(started message) {
    alive.push_back(message.child);
    if (static_cast<int>(alive.size()) < children) return noreply();
    if (begin == clock_type::time_point{})
      begin = clock_type::now();
    else if (--rounds == 0) {
      done->set_value(per_second(total, begin));
      return stop(exit_reason::shutdown);
    }
    total += children;
    for (auto one : std::exchange(alive, {})) exit(one, exit_reason::kill);
    return noreply();
  }

  double total = 0;
};

/// Starts children one after the other, as a client that waits for each answer, and then ends them
/// all.
template <class S>
struct starter {
  using messages = roost::messages<>;

  rate_promise done;
  int count;
  bool one_by_one;
  dynamic_supervisor children{pid{}};
  reference ref = {};
  clock_type::time_point begin = clock_type::now();
  std::vector<pid> pids = {};

  static init_result<starter> init(rate_promise done, int count, bool one_by_one) {
    starter state{done, count, one_by_one};
    auto supervisor = dynamic_supervisor::start_link({.max_restarts = any_number});
    state.children = dynamic_supervisor(supervisor);
    state.ref = monitor(supervisor);
    trap_exit(true);
    send(self(), started{});
    return state;
  }
  using infos = roost::messages<started>;
  void handle_info(started) { next(); }
  void handle_info(const exited&) {}
  void next() {
    if (static_cast<int>(pids.size()) == count) return one_by_one ? stop_next() : stop_all();
    children.start_child<S>().then([this](const child_result& result) {
      pids.push_back(result.process());
      next();
    });
  }
  void stop_next() {
    if (pids.empty()) return stop_all();
    children.terminate_child(pids.back()).then([this](const child_result&) {
      pids.pop_back();
      stop_next();
    });
  }
  void stop_all() { exit(children.process(), exit_reason::shutdown); }
  cast_result handle_info(const down& message) {
    if (message.ref != ref) return noreply();
    done->set_value(per_second(count, begin));
    return stop(exit_reason::shutdown);
  }
};

template <class S, class... Args>
double measured(Args... args) {
  return best([&] {
    auto done = std::make_shared<std::promise<double>>();
    auto result = done->get_future();
    auto process = roost::start<S>(done, args...);
    auto rate = result.get();
    while (is_alive(process.process())) std::this_thread::yield();
    return rate;
  });
}

std::map<std::string, double> run_erlang() {
  auto directory = std::filesystem::temp_directory_path() / "roost_bench_erl";
  std::filesystem::create_directories(directory);
  return bench::run_peer(
      "cd bench && erlc -o " + directory.string() +
      " supervision.erl && erl +S 2 +P 2000000 -noshell -pa " + directory.string() +
      " -s supervision main 2>/dev/null");
}

}  // namespace

int main(int argc, char** argv) {
  auto beam = run_erlang();
  logger::set_level(log_level::none);  // as there: what is measured is not the printing of reports
  runtime runtime{{.schedulers = 2}};
  std::vector<bench::row> rows;
  auto add = [&](std::string figure, std::string unit, double value, const char* key) {
    rows.push_back({figure, unit, value, "BEAM", beam[key]});
  };
  add("restart, one at a time", "1/s", measured<killer>(1, 1000), "restart_one");
  add("restart, 100 at once", "1/s", measured<killer>(100, 10), "restart_100");
  add("start 100,000, stop all", "1/s", measured<starter<idler>>(100'000, false),
      "dynamic_start_stop");
  add("… permanent ones", "1/s", measured<starter<stayer>>(100'000, false), "dynamic_permanent");
  add("start 100,000, terminate each", "1/s", measured<starter<idler>>(100'000, true),
      "dynamic_terminate");
  bench::print(rows);
  if (argc == 3 && std::strcmp(argv[1], "--json") == 0) bench::write_json(rows, argv[2]);
}
