#include "operations/alarm_watch.hpp"
#include "runtime/alarms.hpp"
#include "runtime/distribution/distribution.hpp"
#include "runtime/process_core.hpp"
#include "runtime/telemetry.hpp"
#include <fmt/format.h>
#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace roost::detail {
namespace {

constexpr std::size_t most_named = 5;  // mailboxes and links in a description

std::string percent(double part) { return fmt::format("{:.0f} %", part * 100); }

double part_of(double value, double of) noexcept { return of > 0 ? value / of : 0; }

std::vector<node_sample::mailbox> longest_mailboxes(double at_least) {
  std::vector<node_sample::mailbox> all;
  for_each_slot([&](slot& slot) {
    auto length = queue_length(slot);
    if (length == 0 || static_cast<double>(length) < at_least) return;
    all.push_back({pid{slot.id.load(std::memory_order_acquire), 0}, length});
  });
  auto count = std::min(most_named, all.size());
  std::partial_sort(
      all.begin(), all.begin() + static_cast<std::ptrdiff_t>(count), all.end(),
      [](auto& a, auto& b) { return a.length > b.length; });
  all.resize(count);
  return all;
}

std::vector<node_sample::link> fullest_links() {
  auto& nodes = distribution::instance();
  std::vector<node_sample::link> all;
  for (auto& link : nodes.links())
    all.push_back(
        {link.node,
         part_of(static_cast<double>(link.queued), static_cast<double>(nodes.options().buffer))});
  std::sort(all.begin(), all.end(), [](auto& a, auto& b) { return a.queued > b.queued; });
  return all;
}

node_sample take_sample(const alarm_settings& settings) {
  node_sample sample;
  sample.system = system_info();
  if (settings.network.enabled) {
    sample.interfaces = read_net_dev();
    auto wanted = [&](auto& entry) {
      auto& names = settings.interfaces;
      return names.empty() ? entry.first != "lo"
                           : std::find(names.begin(), names.end(), entry.first) != names.end();
    };
    std::erase_if(sample.interfaces, [&](auto& entry) { return !wanted(entry); });
    for (auto& [name, bytes] : sample.interfaces) {
      auto told = interface_speed(name);
      sample.speeds[name] = told != 0 ? told : settings.interface_speed;
    }
  }
  if (settings.mailboxes.enabled)
    sample.mailboxes = longest_mailboxes(settings.mailboxes.limits.clear);
  if (settings.links.enabled) sample.links = fullest_links();
  return sample;
}

}  // namespace

// --- reports of supervisors ----------------------------------------------------------------------

/// Filled in the processes of the supervisors, read by the watch.
struct node_watch::heard_reports {
  static constexpr auto handler = "roost.operations.alarms";

  explicit heard_reports(crash_loops::options options) : loops(options) {
    telemetry::detach(handler);
    telemetry::attach(
        handler, "roost.report",
        [this](std::string_view, const telemetry::values&, const telemetry::values& metadata) {
          take(metadata);
        });
  }
  heard_reports(const heard_reports&) = delete;
  heard_reports& operator=(const heard_reports&) = delete;
  ~heard_reports() { telemetry::detach(handler); }

  void take(const telemetry::values& metadata) {
    auto text = [&](std::string_view name) {
      auto* value = metadata.find(name);
      return value != nullptr ? value->to_string() : std::string();
    };
    if (text("kind") != "supervisor_report") return;
    auto context = text("context");
    auto now = std::chrono::steady_clock::now();
    std::lock_guard guard{mutex};
    if (context == "shutdown") loops.gave_up(text("supervisor"), text("child"), now);
    if (context == "child_terminated" && text("restart") != "temporary")
      loops.restarted(text("supervisor"), text("child"), now);
  }

  std::mutex mutex;
  crash_loops loops;
};

// --- the watch -----------------------------------------------------------------------------------

node_watch::node_watch(const alarm_settings& settings) : settings_(settings) {
  if (settings_.crash_loops_enabled) reports_ = std::make_unique<heard_reports>(settings_.loops);
}

node_watch::~node_watch() {
  for (auto& id : raised_) clear_alarm(id);
}

void node_watch::set(const std::string& id, const std::string& description) {
  set_alarm(id, description);
  raised_.insert(id);
}

void node_watch::clear(const std::string& id) {
  if (raised_.erase(id) > 0) clear_alarm(id);
}

void node_watch::look(node_sample sample) {
  check_system(sample);
  check_schedulers(sample);
  check_network(sample);
  check_traffic(sample);
  check_crash_loops(sample.system.taken);
  before_ = std::move(sample);
}

template <class F>
void node_watch::check(
    const alarm_check& check, const std::string& id, double value, time_point now, F describe) {
  if (!check.enabled) return;
  auto& threshold = thresholds_.try_emplace(id, check.limits).first->second;
  auto changed = threshold.update(value, now);
  if (threshold.raised()) set(id, describe());  // says how bad it is now
  if (changed == false) clear(id);
}

void node_watch::check_system(const node_sample& sample) {
  auto& now = sample.system;
  auto number = [](auto count) { return static_cast<double>(count); };
  bool own = settings_.memory_limit != 0;
  auto memory = own ? part_of(number(now.memory.total), number(settings_.memory_limit))
                    : part_of(number(now.memory.used), number(now.memory.limit));
  check(settings_.memory, "memory_high", memory, now.taken, [&] {
    if (own)
      return fmt::format(
          "this node takes {} MiB, {} of its limit", now.memory.total >> 20, percent(memory));
    return fmt::format(
        "{} of the {}'s {} MiB are used, {} MiB of them by this node", percent(memory),
        now.memory.of_a_cgroup ? "cgroup" : "host", now.memory.limit >> 20, now.memory.total >> 20);
  });
  auto processes = part_of(number(now.processes), number(now.process_limit));
  check(settings_.processes, "process_limit_near", processes, now.taken, [&] {
    return fmt::format("{} processes of at most {}", now.processes, now.process_limit);
  });
  auto files = part_of(number(now.open_files), number(now.file_limit));
  check(settings_.files, "file_limit_near", files, now.taken, [&] {
    return fmt::format("{} open descriptors of at most {}", now.open_files, now.file_limit);
  });
}

void node_watch::check_schedulers(const node_sample& sample) {
  if (!before_) return;
  auto busy = scheduler_utilization(before_->system, sample.system);
  if (busy.empty()) return;
  auto busiest = std::max_element(busy.begin(), busy.end());
  check(settings_.schedulers, "schedulers_busy", *busiest, sample.system.taken, [&] {
    std::string all;
    for (auto part : busy) all += " " + percent(part);
    return fmt::format(
        "scheduler {} is busy {} of its time; all:{}", busiest - busy.begin(), percent(*busiest),
        all);
  });
}

void node_watch::check_network(const node_sample& sample) {
  if (!before_) return;
  auto passed = sample.system.taken - before_->system.taken;
  for (auto& [name, bytes] : sample.interfaces) {
    auto before = before_->interfaces.find(name);
    if (before == before_->interfaces.end()) continue;
    auto speed = sample.speeds.at(name);
    auto load = network_load(before->second, bytes, passed, speed);
    check(settings_.network, "network_saturated." + name, load, sample.system.taken, [&] {
      return fmt::format("{} of {} Mbit/s on {}", percent(load), speed / 1'000'000, name);
    });
  }
  // An interface that has gone is not saturated any more.
  std::erase_if(thresholds_, [&](auto& entry) {
    constexpr std::string_view prefix = "network_saturated.";
    bool gone = entry.first.starts_with(prefix) &&
                !sample.interfaces.contains(entry.first.substr(prefix.size()));
    if (gone) clear(entry.first);
    return gone;
  });
}

void node_watch::check_traffic(const node_sample& sample) {
  auto now = sample.system.taken;
  auto& mailboxes = sample.mailboxes;
  auto longest = mailboxes.empty() ? 0.0 : static_cast<double>(mailboxes.front().length);
  check(settings_.mailboxes, "long_mailboxes", longest, now, [&] {
    std::string all;
    for (auto& one : mailboxes)
      all += fmt::format(
          "{}{} has {} messages", all.empty() ? "" : ", ", to_string(one.process), one.length);
    return all;
  });
  auto fullest = sample.links.empty() ? 0.0 : sample.links.front().queued;
  check(settings_.links, "links_busy", fullest, now, [&] {
    std::string all;
    for (std::size_t i = 0; i < std::min(most_named, sample.links.size()); ++i)
      all += fmt::format(
          "{}{}: {} of its buffer", all.empty() ? "" : ", ", sample.links[i].node,
          percent(sample.links[i].queued));
    return all;
  });
}

void node_watch::check_crash_loops(time_point now) {
  if (!reports_) return;
  std::string text;
  {
    std::lock_guard guard{reports_->mutex};
    text = reports_->loops.describe(now);
  }
  if (text.empty())
    clear("crash_loop");
  else
    set("crash_loop", text);
}

// --- the thread ----------------------------------------------------------------------------------

class alarm_watch::looking {
 public:
  explicit looking(const alarm_settings& settings)
      : settings_(settings), watch_(settings), thread_([this] { run(); }) {}
  looking(const looking&) = delete;
  looking& operator=(const looking&) = delete;
  ~looking() {
    {
      std::lock_guard guard{mutex_};
      stopping_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

 private:
  void run() {
    std::unique_lock guard{mutex_};
    while (!stopping_) {
      guard.unlock();
      watch_.look(take_sample(settings_));
      guard.lock();
      changed_.wait_for(guard, settings_.interval, [this] { return stopping_; });
    }
  }

  const alarm_settings settings_;
  node_watch watch_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::thread thread_;
};

alarm_watch::alarm_watch(const alarm_settings& settings)
    : looking_(std::make_unique<looking>(settings)) {}
alarm_watch::alarm_watch(alarm_watch&&) noexcept = default;
alarm_watch& alarm_watch::operator=(alarm_watch&&) noexcept = default;
alarm_watch::~alarm_watch() = default;

init_result<alarm_watch> alarm_watch::init(const alarm_settings& settings) {
  set_process_limit(settings.process_limit);
  return alarm_watch(settings);
}

}  // namespace roost::detail
