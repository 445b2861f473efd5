#include "channels/meters.hpp"
#include <memory>
#include <mutex>
#include <vector>

namespace roost::detail::meters {
namespace {

/// The memory of a thread that has ended goes on counting for the next one.
struct registry {
  std::mutex mutex;
  std::vector<std::unique_ptr<of_a_thread>> all;
  std::vector<of_a_thread*> spare;
};

registry& instance() {
  static auto& instance = *new registry;  // threads may end after static destruction
  return instance;
}

struct lease {
  ~lease() {
    auto& registry = instance();
    std::lock_guard guard{registry.mutex};
    registry.spare.push_back(mine);
    mine = nullptr;
  }
};

void add(const times& from, time_sum& to) {
  for (std::size_t i = 0; i < to.buckets.size(); ++i) to.buckets[i] += from.buckets()[i].value();
  to.sum_ns += from.sum();
}

void add(const sizes& from, size_sum& to) {
  for (std::size_t i = 0; i < to.buckets.size(); ++i) to.buckets[i] += from.buckets()[i].value();
  to.sum += from.sum();
}

}  // namespace

of_a_thread& of_new_thread() {
  auto& registry = instance();
  {
    std::lock_guard guard{registry.mutex};
    if (registry.spare.empty()) {
      registry.all.push_back(std::make_unique<of_a_thread>());
      mine = registry.all.back().get();
    } else {
      mine = registry.spare.back();
      registry.spare.pop_back();
    }
  }
  static thread_local lease lease;
  return *mine;
}

total sum() {
  total sum;
  auto& registry = instance();
  std::lock_guard guard{registry.mutex};
  for (auto& one : registry.all) {
    sum.messages_in += one->messages_in.value();
    sum.messages_out += one->messages_out.value();
    sum.joins_ok += one->joins_ok.value();
    sum.joins_refused += one->joins_refused.value();
    sum.joins_crashed += one->joins_crashed.value();
    sum.channels_left += one->channels_left.value();
    sum.connects_ok += one->connects_ok.value();
    sum.connects_refused += one->connects_refused.value();
    for (std::size_t i = 0; i < sum.responses.size(); ++i)
      sum.responses[i] += one->responses[i].value();
    add(one->request, sum.request);
    add(one->connect, sum.connect);
    add(one->join, sum.join);
    add(one->handle_in, sum.handle_in);
    add(one->fan_out, sum.fan_out);
  }
  return sum;
}

}  // namespace roost::detail::meters
