#include "runtime/runtime.hpp"
#include "runtime/allocator.hpp"
#include "runtime/blocking_pool.hpp"
#include "runtime/caf_system.hpp"
#include "runtime/logger.hpp"
#include "runtime/scheduler.hpp"
#include <algorithm>
#include <thread>

namespace roost {
namespace {

std::vector<pid> all_processes(bool only_roots = false) {
  std::vector<pid> all;
  detail::for_each_slot([&](detail::slot& slot) {
    auto id = slot.id.load(std::memory_order_acquire);
    bool wanted = !only_roots || slot.root.load(std::memory_order_relaxed);
    if (id != 0 && wanted && !slot.is_thread.load(std::memory_order_relaxed))
      all.push_back(pid{id, 0});
  });
  return all;
}

/// Waits until no process is left, looking again as they go. Answers whether that came true.
bool wait_for_silence(std::chrono::milliseconds limit) {
  auto deadline = std::chrono::steady_clock::now() + limit;
  for (auto nap = std::chrono::microseconds(50); !all_processes().empty();
       nap = std::min(nap * 2, std::chrono::microseconds(5000))) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(nap);
  }
  return true;
}

}  // namespace

struct runtime::state {
  state(const runtime_options& options, std::size_t workers)
      : options(options), caf(std::make_unique<detail::caf_system>(workers)) {}

  runtime_options options;
  std::unique_ptr<detail::caf_system> caf;
};

runtime::runtime(runtime_options options) {
  if (detail::scheduler::instance() != nullptr)
    throw std::logic_error("expected one roost::runtime at a time, got a second one");
  auto workers = options.schedulers != 0 ? options.schedulers
                                         : std::max(1U, std::thread::hardware_concurrency());
  detail::give_memory_back_in_background();
  detail::send_batch::allow_io_uring(options.io_uring);
  state_ = std::make_unique<state>(options, workers);
}

runtime::~runtime() {
  // Supervisors stop their own children, in their own order.
  for (auto process : all_processes(true)) detail::stop_root(process, exit_reason::shutdown);
  if (!wait_for_silence(state_->options.shutdown_timeout)) {
    for (auto process : all_processes()) exit(process, exit_reason::kill);
    if (!wait_for_silence(state_->options.shutdown_timeout))
      logger::error(
          "processes that do not yield were left behind", {{"count", all_processes().size()}});
  }
  detail::blocking_pool::stop();
  state_.reset();
}

std::size_t runtime::schedulers() const noexcept { return detail::scheduler::instance()->size(); }

std::size_t runtime::process_count() noexcept { return detail::process_count(); }

}  // namespace roost
