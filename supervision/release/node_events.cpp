#include "supervision/release/node_events.hpp"
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include <algorithm>
#include <system_error>

namespace roost::detail {
namespace {

sigset_t node_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (int one : {SIGTERM, SIGINT, SIGUSR1}) sigaddset(&signals, one);
  return signals;
}

}  // namespace

void block_node_signals() {
  auto signals = node_signals();
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

node_events::node_events() {
  block_node_signals();
  auto signals = node_signals();
  signals_ = ::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
  wake_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (signals_ < 0 || wake_ < 0)
    throw std::system_error(errno, std::generic_category(), "expected a signalfd and an eventfd");
}

node_events::~node_events() {
  ::close(signals_);
  ::close(wake_);
}

void node_events::push(node_event event) {
  {
    std::lock_guard lock(mutex_);
    queue_.push_back(std::move(event));
  }
  ::eventfd_write(wake_, 1);
}

node_event node_events::wait_until(time_point deadline) {
  for (;;) {
    if (auto event = next()) return *event;
    auto left = deadline - std::chrono::steady_clock::now();
    if (left <= left.zero()) return {};
    auto wait = std::min(left, node_events::time_point::duration(std::chrono::hours(1)));
    auto milliseconds = std::chrono::ceil<std::chrono::milliseconds>(wait).count();
    pollfd watched[] = {{signals_, POLLIN, 0}, {wake_, POLLIN, 0}};
    ::poll(watched, 2, static_cast<int>(milliseconds));
  }
}

std::optional<node_event> node_events::next() {
  signalfd_siginfo info{};
  if (::read(signals_, &info, sizeof info) == sizeof info)
    return node_event{.what = node_event::kind::signal, .signal = static_cast<int>(info.ssi_signo)};
  std::uint64_t count = 0;
  ::eventfd_read(wake_, &count);
  std::lock_guard lock(mutex_);
  if (queue_.empty()) return std::nullopt;
  auto event = std::move(queue_.front());
  queue_.pop_front();
  return event;
}

}  // namespace roost::detail
