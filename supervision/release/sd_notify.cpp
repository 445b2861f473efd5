#include "supervision/release/sd_notify.hpp"
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>

namespace roost::detail {
namespace {

std::optional<std::int64_t> number_in(const char* text) {
  if (text == nullptr) return std::nullopt;
  std::int64_t value = 0;
  const char* end = text + std::strlen(text);
  auto [last, error] = std::from_chars(text, end, value);
  return error == std::errc() && last == end ? std::optional(value) : std::nullopt;
}

}  // namespace

bool sd_notify(std::string_view state) {
  const char* name = std::getenv("NOTIFY_SOCKET");
  sockaddr_un where{};
  auto length = name != nullptr ? std::strlen(name) : 0;
  if (length < 2 || length >= sizeof where.sun_path || (name[0] != '/' && name[0] != '@'))
    return false;
  where.sun_family = AF_UNIX;
  std::memcpy(where.sun_path, name, length);
  if (name[0] == '@') where.sun_path[0] = '\0';  // an abstract address
  auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length);
  int descriptor = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return false;
  auto sent = ::sendto(
      descriptor, state.data(), state.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
      reinterpret_cast<const sockaddr*>(&where), size);
  ::close(descriptor);
  return sent == static_cast<ssize_t>(state.size());
}

bool sd_notify_reloading() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  auto microseconds = now.tv_sec * 1'000'000LL + now.tv_nsec / 1000;
  return sd_notify("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(microseconds));
}

std::optional<std::chrono::microseconds> watchdog_limit(const variable_reader& variable, long pid) {
  auto limit = number_in(variable("WATCHDOG_USEC"));
  if (!limit || *limit <= 0) return std::nullopt;
  const char* whose = variable("WATCHDOG_PID");
  if (whose != nullptr && number_in(whose) != pid) return std::nullopt;
  return std::chrono::microseconds(*limit);
}

}  // namespace roost::detail
