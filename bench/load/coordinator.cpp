#include "bench/load/coordinator.hpp"
#include "bench/load/engine.hpp"
#include "bench/load/placement.hpp"
#include "bench/load/progress.hpp"
#include "bench/load/server_watch.hpp"
#include "bench/load/shared_memory.hpp"
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmath>
#include <csignal>
#include <ctime>
#include <numeric>
#include <stdexcept>
#include <system_error>

namespace roost::load {
namespace {

constexpr double nano = 1e-9;
constexpr std::size_t spare_descriptors = 64;

volatile std::sig_atomic_t interrupted = 0;

double seconds() { return static_cast<double>(now_in_nanoseconds()) * nano; }
double seconds(milliseconds time) { return static_cast<double>(time.count()) / 1e3; }

std::size_t raise_descriptors() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur;
}

std::size_t processes_for(const options& options) {
  auto each = raise_descriptors() - spare_descriptors;
  auto needed = (options.connections + each - 1) / each;
  auto wanted = std::max<std::size_t>(needed, options.processes);
  // Those who stay while the herd comes back must not wait for it on this side.
  return options.mode == mode::herd ? wanted + 1 : wanted;
}

/// What is known at one moment, to be subtracted from what is known later.
struct moment {
  double time = 0;
  double cpu = 0;
  std::uint64_t replies = 0;
  std::uint64_t deliveries = 0;
  histogram replying;
  histogram delivering;
};

struct stopped : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class coordinator {
 public:
  explicit coordinator(const options& options)
      : options_(options),
        servers_(options.pids),
        shared_(processes_for(options)),
        progress_(!options.quiet) {}
  coordinator(const coordinator&) = delete;
  coordinator& operator=(const coordinator&) = delete;
  ~coordinator() {
    shared_->phase = phase::finished;
    for (auto pid : workers_) ::waitpid(pid, nullptr, 0);
  }

  outcome_of_run run() {
    begin_report();
    start_workers();
    outcome_of_run result;
    try {
      go_through_the_phases();
    } catch (const stopped& reason) {
      result.complete = false;
      result.trouble = reason.what();
    }
    progress_.end();
    add_counters();
    report_.verdicts = judge(options_.thresholds, report_.figures);
    result.report = std::move(report_);
    return result;
  }

 private:
  // --- phases ---

  void go_through_the_phases() {
    memory_before_ = servers_.memory();
    connect();
    switch (options_.mode) {
      case mode::join:
        for (std::uint32_t round = 1; round < options_.rounds; ++round) {
          leave();
          connect();
        }
        break;
      case mode::idle:
        rest(options_.duration);
        break;
      case mode::herd:
        measure();
        drive_the_herd();
        break;
      default:
        measure();
    }
    add_connects();
    leave();
    add_memory();
  }

  void connect() {
    auto cpu = servers_.cpu();
    auto began = seconds();
    enter(phase::connecting, "connecting");
    wait_until(
        [&] { return sum(&worker_state::joined) == options_.connections; },
        began + seconds(options_.timeout), "clients joined");
    connect_seconds_ += seconds() - began;
    connect_cpu_ += servers_.cpu() - cpu;
    connected_ += options_.connections;
    rest(milliseconds(300));  // what is freed late is freed
    memory_connected_ = servers_.memory();
  }

  void leave() {
    enter(phase::leaving, "leaving");
    wait_until(
        [&] { return sum(&worker_state::open) == 0; }, seconds() + seconds(options_.timeout),
        "connections closed by the server");
    rest(milliseconds(500));
  }

  void measure() {
    enter(phase::running, "warming up");
    rest(options_.warm_up);
    phase_name_ = "running";
    auto before = now();
    measuring_from_ = samples_end();
    rest(options_.duration);
    auto after = now();
    add_measured(before, after);
    if (options_.mode == mode::herd) return;
    enter(phase::settling, "settling");
    auto end = seconds() + 5;
    while (sum(&worker_state::unanswered) != 0 && seconds() < end) pause();
  }

  void drive_the_herd() {
    auto cpu = servers_.cpu();
    auto began = seconds();
    auto joins = sum_of_joins();
    auto herd = options_.connections - std::min(options_.connections, steady_clients);
    enter(phase::herding, "herding");
    wait_until(
        [&] {
          return sum_of_joins() - joins >= herd &&
                 sum(&worker_state::joined) == options_.connections;
        },
        began + seconds(options_.timeout), "clients came back");
    auto beside = shared_->sum(&worker_state::beside);
    auto quiet = figure_named("p99");
    report_.add("herd_seconds", seconds() - began);
    report_.add("herd_cpu_seconds", servers_.cpu() - cpu);
    report_.add("herd_p50", beside.percentile(50) / 1e3);
    report_.add("herd_p99", beside.percentile(99) / 1e3);
    report_.add("herd_max", beside.highest() / 1e3);
    if (quiet != 0) report_.add("herd_p99_ratio", beside.percentile(99) / 1e3 / quiet);
  }

  std::uint64_t sum_of_joins() const { return shared_->sum(&worker_state::joining).count(); }

  void enter(phase next, std::string name) {
    phase_name_ = std::move(name);
    shared_->phase.store(next, std::memory_order_release);
  }

  void rest(milliseconds time) {
    auto end = seconds() + seconds(time);
    while (seconds() < end) pause();
  }

  template <class Condition>
  void wait_until(Condition condition, double end, const char* what) {
    while (!condition()) {
      if (seconds() > end)
        throw stopped(
            "expected " + std::to_string(options_.connections) + " " + what + " in time, got " +
            std::to_string(sum(&worker_state::joined)) + " joined, " +
            std::to_string(sum(&worker_state::open)) + " open, " +
            std::to_string(sum(&worker_state::failures)) + " failures, " +
            std::to_string(sum(&worker_state::refusals)) + " refusals");
      pause();
    }
  }

  /// A few milliseconds, with all that has to be looked at meanwhile.
  void pause() {
    timespec time{0, 2'000'000};
    ::nanosleep(&time, nullptr);
    if (interrupted != 0) throw stopped("interrupted");
    if (!servers_.alive()) throw stopped("expected the servers to run, got one that has ended");
    for (auto pid : workers_)
      if (::waitpid(pid, nullptr, WNOHANG) == pid) {
        std::erase(workers_, pid);
        throw stopped("expected the clients to run, got one of their processes that has ended");
      }
    if (seconds() - last_.time >= 1) take_sample();
  }

  // --- looking ---

  std::uint64_t sum(counter worker_state::*which) const { return shared_->sum(which); }

  moment now() const {
    return {
        seconds(),
        servers_.cpu(),
        sum(&worker_state::replies),
        sum(&worker_state::deliveries),
        shared_->sum(&worker_state::replying),
        shared_->sum(&worker_state::delivering)};
  }

  bool counts_deliveries() const noexcept {
    return options_.mode == mode::fanout || options_.mode == mode::latency;
  }
  double events(const moment& from, const moment& to) const {
    return static_cast<double>(
        counts_deliveries() ? to.deliveries - from.deliveries : to.replies - from.replies);
  }
  histogram latencies(const moment& from, const moment& to) const {
    return counts_deliveries() ? to.delivering.since(from.delivering)
                               : to.replying.since(from.replying);
  }

  void take_sample() {
    auto current = now();
    auto elapsed = current.time - last_.time;
    auto seen = latencies(last_, current);
    auto joins = sum_of_joins();
    bool joining = phase_name_ == "connecting";
    sample one{
        .second = current.time - began_,
        .phase = phase_name_,
        .joined = static_cast<double>(sum(&worker_state::joined)),
        .rate =
            (joining ? static_cast<double>(joins - last_joins_) : events(last_, current)) / elapsed,
        .p50 = seen.percentile(50) / 1e3,
        .p99 = seen.percentile(99) / 1e3,
        .cpu = (current.cpu - last_.cpu) / elapsed,
        .memory = static_cast<double>(servers_.memory())};
    highest_memory_ = std::max(highest_memory_, one.memory);
    progress_.show(one, options_.connections);
    report_.samples.push_back(std::move(one));
    last_ = std::move(current);
    last_joins_ = joins;
  }
  std::size_t samples_end() const noexcept { return report_.samples.size(); }

  // --- the report ---

  void begin_report() {
    auto time = std::time(nullptr);
    char text[32];
    std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", std::gmtime(&time));
    report_.mode = name_of(options_.mode);
    report_.started = text;
    report_.machine = machine();
    report_.settings = {
        {"connections", std::to_string(options_.connections)},
        {"targets", std::to_string(options_.targets.size())},
        {"processes", std::to_string(shared_->workers.size())},
        {"topics", std::to_string(options_.topics)},
        {"payload", std::to_string(options_.payload)},
        {"window", std::to_string(options_.window)},
        {"rate", std::to_string(std::lround(options_.rate))},
        {"duration", std::to_string(options_.duration.count()) + " ms"}};
  }

  double figure_named(std::string_view name) const {
    for (auto& figure : report_.figures)
      if (figure.name == name) return figure.value;
    return 0;
  }

  void add_latencies(const std::string& prefix, const histogram& seen) {
    if (seen.count() == 0) return;
    report_.add(prefix + "p50", seen.percentile(50) / 1e3);
    report_.add(prefix + "p90", seen.percentile(90) / 1e3);
    report_.add(prefix + "p99", seen.percentile(99) / 1e3);
    report_.add(prefix + "p999", seen.percentile(99.9) / 1e3);
    report_.add(prefix + "max", seen.highest() / 1e3);
    report_.add(prefix + "mean", seen.mean() / 1e3);
  }

  void add_connects() {
    report_.add("connections", static_cast<double>(options_.connections));
    report_.add("connect_seconds", connect_seconds_);
    report_.add("connects_per_second", connected_ / connect_seconds_);
    add_latencies("connect_", shared_->sum(&worker_state::joining));
    if (servers_.empty()) return;
    report_.add("connect_cpu_seconds", connect_cpu_);
    report_.add("connects_per_cpu_second", connected_ / connect_cpu_);
  }

  void add_measured(const moment& from, const moment& to) {
    auto count = events(from, to), elapsed = to.time - from.time, cpu = to.cpu - from.cpu;
    report_.add("seconds", elapsed);
    report_.add("events", count);
    report_.add("events_per_second", count / elapsed);
    auto seen = latencies(from, to);
    add_latencies("", seen);
    report_.curve = seen.curve();
    if (!counts_deliveries()) add_latencies("delivery_", to.delivering.since(from.delivering));
    if (servers_.empty()) return;
    report_.add("cpu_seconds", cpu);
    report_.add("cpu_percent", 100 * cpu / elapsed);
    report_.add("events_per_cpu_second", count / cpu);
    report_.add("cpu_us_per_event", cpu * 1e6 / count);
    add_growth();
  }

  /// From the first tenth of the seconds to the last.
  void add_growth() {
    auto seen = std::span(report_.samples).subspan(measuring_from_);
    auto part = seen.size() / 10;
    if (part == 0) return;
    auto mean = [](std::span<const sample> of) {
      return std::accumulate(
                 of.begin(), of.end(), 0.0,
                 [](double sum, const sample& one) { return sum + one.memory; }) /
             static_cast<double>(of.size());
    };
    auto first = mean(seen.first(part)), last = mean(seen.last(part));
    if (first > 0) report_.add("memory_growth_percent", 100 * (last / first - 1));
  }

  /// Allocators give memory back when it was not wanted for a while.
  void wait_for_memory() {
    auto end = seconds() + 20;
    auto lowest = servers_.memory();
    for (auto since = seconds(); seconds() < end && seconds() - since < 5;) {
      rest(milliseconds(250));
      if (servers_.memory() >= lowest) continue;
      lowest = servers_.memory();
      since = seconds();
    }
  }

  void add_memory() {
    if (servers_.empty()) return;
    if (options_.mode == mode::idle) wait_for_memory();
    auto before = static_cast<double>(memory_before_);
    auto each = [&](double memory) { return (memory - before) / options_.connections; };
    auto connected = static_cast<double>(memory_connected_);
    auto after = static_cast<double>(servers_.memory());
    report_.add("memory_before", before);
    report_.add("memory_connected", connected);
    report_.add("memory_highest", std::max(highest_memory_, connected));
    report_.add("memory_after", after);
    report_.add("bytes_per_connection", each(connected));
    report_.add("bytes_kept_per_connection", each(after));
  }

  void add_counters() {
    auto add = [&](const char* name, counter worker_state::*which) {
      report_.add(name, static_cast<double>(sum(which)));
    };
    add("failures", &worker_state::failures);
    add("refusals", &worker_state::refusals);
    add("lost_connections", &worker_state::lost);
    add("error_replies", &worker_state::error_replies);
    add("crashes", &worker_state::crashes);
    add("stalls", &worker_state::stalls);
    add("broken_messages", &worker_state::broken);
    report_.add(
        "lost_replies",
        static_cast<double>(sum(&worker_state::unanswered) + sum(&worker_state::lost_replies)));
  }

  // --- processes ---

  void start_workers() {
    for (std::size_t i = 0; i < shared_->workers.size(); ++i) {
      auto parent = ::getpid();
      auto pid = ::fork();
      if (pid < 0) throw std::system_error(errno, std::generic_category(), "fork");
      if (pid == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (::getppid() != parent) ::_exit(1);
        ::signal(SIGINT, SIG_IGN);  // the parent ends in order
        ::prctl(PR_SET_TIMERSLACK, 1'000);
        if (options_.mode == mode::herd) {
          if (i == 0) hurry();
          keep_apart(i != 0);
        }
        {
          engine engine(options_, *shared_, i);
          engine.run();
        }
        ::_exit(0);
      }
      workers_.push_back(pid);
    }
    began_ = seconds();
    last_ = now();
  }

  const options& options_;
  server_watch servers_;
  shared_memory shared_;
  progress progress_;
  std::vector<pid_t> workers_;
  report report_;
  std::string phase_name_;
  double began_ = 0;
  moment last_;
  std::uint64_t last_joins_ = 0;
  std::size_t measuring_from_ = 0;

  double connect_seconds_ = 0;
  double connect_cpu_ = 0;
  double connected_ = 0;
  std::uint64_t memory_before_ = 0;
  std::uint64_t memory_connected_ = 0;
  double highest_memory_ = 0;
};

}  // namespace

outcome_of_run run(const options& options) {
  ::signal(SIGINT, [](int) { interrupted = 1; });
  ::signal(SIGPIPE, SIG_IGN);
  return coordinator(options).run();
}

}  // namespace roost::load
