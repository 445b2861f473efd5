#include "operations/console/process_list.hpp"
#include <future>
#include <mutex>

namespace roost::detail {
namespace {

constexpr std::size_t batch_size = 10'000;

struct collector {
  std::mutex mutex;
  std::vector<process_details> found;
  std::size_t left = 0;
  std::promise<void> done;
};

}  // namespace

std::vector<process_details> details_of_all(const std::vector<pid>& processes) {
  std::vector<process_details> all;
  for (std::size_t at = 0; at < processes.size(); at += batch_size) {
    auto end = std::min(processes.size(), at + batch_size);
    auto batch = std::make_shared<collector>();
    batch->left = end - at;
    auto done = batch->done.get_future();
    spawn([batch, some = std::vector<pid>(
                      processes.begin() + static_cast<std::ptrdiff_t>(at),
                      processes.begin() + static_cast<std::ptrdiff_t>(end))] {
      auto count = [batch](std::optional<process_details> info) {
        std::lock_guard guard{batch->mutex};
        if (info) batch->found.push_back(std::move(*info));
        if (--batch->left == 0) batch->done.set_value();
      };
      for (auto one : some)
        process_info(one).then(count, [count](const exit_reason&) { count(std::nullopt); });
    });
    auto state = done.wait_for(std::chrono::seconds(2));
    std::lock_guard guard{batch->mutex};
    std::move(batch->found.begin(), batch->found.end(), std::back_inserter(all));
    batch->found.clear();
    if (state != std::future_status::ready) break;
  }
  return all;
}

}  // namespace roost::detail
