#include "channels/limits.hpp"
#include "runtime/logger.hpp"
#include "runtime/scheduler.hpp"
#include <sys/resource.h>
#include <algorithm>
#include <random>

namespace roost::detail {
namespace {

constexpr std::size_t spare_descriptors = 256;  // for files, links to other nodes, the log

std::size_t descriptors() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return 1'000'000;
  auto all = static_cast<std::size_t>(limit.rlim_cur);
  return all > 2 * spare_descriptors ? all - spare_descriptors : std::max<std::size_t>(1, all / 2);
}

}  // namespace

std::string_view to_string(refusal why) noexcept {
  switch (why) {
    case refusal::none:
      return "none";
    case refusal::connections:
      return "max_connections";
    case refusal::sockets:
      return "max_sockets";
    case refusal::address:
      return "max_sockets_per_address";
    case refusal::rate:
      return "accept_rate";
    case refusal::draining:
      return "draining";
  }
  return "";
}

admission::admission(std::string endpoint, const endpoint_limits& limits)
    : endpoint_(std::move(endpoint)),
      limits_(limits),
      max_connections_(limits.max_connections != 0 ? limits.max_connections : descriptors()),
      max_sockets_(limits.max_sockets != 0 ? limits.max_sockets : max_connections_),
      rate_(limits.accept_rate, limits.accept_burst) {}

void admission::refuse(
    counter& refused, std::string_view name, std::size_t limit, std::string_view address) {
  count(refused);
  if (!log_.due(exact_now())) return;
  logger::warning(
      limits_.enforce ? "limit reached, refusing clients" : "limit reached, letting clients in",
      {{"endpoint", endpoint_},
       {"limit", name},
       {"value", limit},
       {"address", address},
       {"times", refused.load(std::memory_order_relaxed)}});
}

bool admission::check(
    std::size_t used, std::size_t limit, std::string_view name, counter& refused, log_pace& near) {
  if (used > limit) {
    refuse(refused, name, limit, {});
    return !limits_.enforce;
  }
  if (used > limit - limit / 5 && limit >= 5 && near.due(exact_now()))
    logger::warning(
        "near a limit",
        {{"endpoint", endpoint_}, {"limit", name}, {"value", limit}, {"used", used}});
  return true;
}

refusal admission::enter_connection() {
  auto used = connections_.fetch_add(1, std::memory_order_relaxed) + 1;
  if (check(used, max_connections_, "max_connections", refused_connections_, near_connections_)) {
    count(accepted_);
    return refusal::none;
  }
  leave_connection();
  return refusal::connections;
}

void admission::leave_connection() noexcept {
  connections_.fetch_sub(1, std::memory_order_relaxed);
}

bool admission::within_rate() {
  if (limits_.accept_rate == 0) return true;
  std::lock_guard guard{mutex_};
  return rate_.take(exact_now());
}

bool admission::within_address(const std::string& address) {
  if (limits_.max_sockets_per_address == 0 || address.empty()) return true;
  std::lock_guard guard{mutex_};
  auto& used = by_address_[address];
  bool within = used < limits_.max_sockets_per_address;
  if (within || !limits_.enforce) ++used;
  return within;
}

refusal admission::enter_socket(const std::string& address) {
  if (draining()) {
    count(refused_draining_);
    return refusal::draining;
  }
  if (!within_rate()) {
    refuse(refused_by_rate_, "accept_rate", limits_.accept_rate, address);
    if (limits_.enforce) return refusal::rate;
  }
  auto used = sockets_.fetch_add(1, std::memory_order_relaxed) + 1;
  if (!check(used, max_sockets_, "max_sockets", refused_sockets_, near_sockets_)) {
    sockets_.fetch_sub(1, std::memory_order_relaxed);
    return refusal::sockets;
  }
  if (!within_address(address)) {
    refuse(
        refused_by_address_, "max_sockets_per_address", limits_.max_sockets_per_address, address);
    if (limits_.enforce) {
      sockets_.fetch_sub(1, std::memory_order_relaxed);
      return refusal::address;
    }
  }
  count(connected_);
  return refusal::none;
}

void admission::leave_socket(const std::string& address) noexcept {
  sockets_.fetch_sub(1, std::memory_order_relaxed);
  if (limits_.max_sockets_per_address == 0 || address.empty()) return;
  std::lock_guard guard{mutex_};
  auto entry = by_address_.find(address);
  if (entry != by_address_.end() && --entry->second == 0) by_address_.erase(entry);
}

unsigned admission::retry_after() const {
  static thread_local std::minstd_rand random{std::random_device{}()};
  // A herd comes back spread over as many seconds as its refused part needs at the rate.
  std::uint64_t spread = 10;
  if (limits_.accept_rate != 0) {
    auto waiting = connections_.load(std::memory_order_relaxed);
    spread = std::clamp<std::uint64_t>(waiting / limits_.accept_rate + 2, 5, 60);
  }
  return static_cast<unsigned>(std::uniform_int_distribution<std::uint64_t>(1, spread)(random));
}

void admission::note(counter& counter, std::string_view what, std::string_view socket) {
  count(counter);
  if (!log_.due(exact_now())) return;
  logger::warning(
      "limit reached", {{"endpoint", endpoint_},
                        {"limit", what},
                        {"socket", socket},
                        {"times", counter.load(std::memory_order_relaxed)}});
}

endpoint_statistics admission::statistics() const noexcept {
  auto read = [](const counter& counter) { return counter.load(std::memory_order_relaxed); };
  return {
      .connections = read(connections_),
      .sockets = read(sockets_),
      .accepted = read(accepted_),
      .connected = read(connected_),
      .refused_connections = read(refused_connections_),
      .refused_sockets = read(refused_sockets_),
      .refused_by_address = read(refused_by_address_),
      .refused_by_rate = read(refused_by_rate_),
      .refused_draining = read(refused_draining_),
      .slow_handshakes = read(slow_handshakes),
      .too_many_channels = read(too_many_channels),
      .too_many_joins = read(too_many_joins),
      .join_timeouts = read(join_timeouts),
      .messages_too_big = read(messages_too_big),
      .throttled = read(throttled),
      .slow_consumers = read(slow_consumers),
      .idle_timeouts = read(idle_timeouts)};
}

}  // namespace roost::detail
