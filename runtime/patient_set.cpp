#include "runtime/patient_set.hpp"
#include "runtime/scheduler.hpp"
#include <sys/epoll.h>
#include <unistd.h>
#include <algorithm>
#include <array>

namespace roost::detail {

patient_set::patient_set() : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {}

patient_set::~patient_set() { ::close(epoll_); }

void patient_set::on_io(std::uint32_t) {
  // What is left over is told of again. They get 50 us a turn, which is nothing to wait for, and a
  // part of long turns: they are patient, not forgotten. The part is small, since what they do
  // makes work for processes, which makes the turn longer.
  constexpr std::uint64_t least = 50'000, most = 1'000'000;  // ns
  // The kernel looks at every socket that it tells of, so it is asked for few: the time is soon up.
  std::array<epoll_event, 8> events;
  auto now = exact_now_ns();
  auto end = now + std::clamp((now - served_) / 16, least, most);
  bool more = true;
  while (more && now < end) {
    auto count = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), 0);
    more = count == static_cast<int>(events.size());
    for (int i = 0; i < count && now < end; ++i) {
      auto& event = events[static_cast<std::size_t>(i)];
      static_cast<io_handler*>(event.data.ptr)->on_io(event.events);
      now = exact_now_ns();
    }
  }
  served_ = now;
}

}  // namespace roost::detail
