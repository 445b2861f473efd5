// runtime/shutdown_time.hpp
//
// How long a process may take to stop once it was told to: a time, infinity, or none at all.
//
//   roost::shutdown_time patient = 10s;       // told to `shutdown`, killed after ten seconds
//   roost::shutdown_time at_once = roost::brutal_kill;
//
// Source: OTP supervisor, shutdown of a child specification.
#pragma once
#include <chrono>

namespace roost {

/// How long a process may take to stop after it was told to `shutdown`, before it is killed.
class shutdown_time {
 public:
  constexpr shutdown_time(std::chrono::milliseconds limit) : limit_(limit) {}
  constexpr shutdown_time(std::chrono::seconds limit) : limit_(limit) {}

  constexpr bool is_brutal_kill() const { return limit_ == std::chrono::milliseconds(-2); }
  constexpr bool is_infinity() const { return limit_ == std::chrono::milliseconds(-1); }
  constexpr std::chrono::milliseconds limit() const { return limit_; }

 private:
  std::chrono::milliseconds limit_;
};
inline constexpr shutdown_time brutal_kill{std::chrono::milliseconds(-2)};

}  // namespace roost
