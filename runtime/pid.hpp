// runtime/pid.hpp
//
// The address of a process. A pid is a small value that can be copied, compared, hashed and sent;
// it stays valid text after its process has gone and is never given to another process. Messages to
// a pid whose process has ended are dropped, as in Erlang.
//
//   roost::pid me = roost::self();
//   to_string(me)                    // "<0.42.3>": node 0 is this node, slot 42, third use
//
// Thread safety: plain values.
#pragma once
#include <compare>
#include <cstdint>
#include <functional>
#include <string>

namespace roost {

struct pid {
  std::uint64_t id = 0;    // 0: nobody
  std::uint32_t node = 0;  // 0: this node

  explicit operator bool() const noexcept { return id != 0; }
  bool is_local() const noexcept { return node == 0; }
  friend auto operator<=>(const pid&, const pid&) = default;
};

std::string to_string(pid pid);

/// A unique reference, as make_ref/0: names a monitor, a call or a timer of this node.
struct reference {
  std::uint64_t value = 0;

  explicit operator bool() const noexcept { return value != 0; }
  friend auto operator<=>(const reference&, const reference&) = default;
};

/// As process_flag(priority, …).
enum class process_priority : std::uint8_t { low, normal, high, max };
std::string to_string(process_priority priority);

reference make_ref();
std::string to_string(reference reference);

}  // namespace roost

template <>
struct std::hash<roost::pid> {
  std::size_t operator()(roost::pid pid) const noexcept {
    // Slots are dense small numbers: a multiplication spreads them over the whole word.
    return static_cast<std::size_t>(
        (pid.id ^ (std::uint64_t{pid.node} << 40)) * 0x9E3779B97F4A7C15ULL);
  }
};

template <>
struct std::hash<roost::reference> {
  std::size_t operator()(roost::reference reference) const noexcept {
    return static_cast<std::size_t>(reference.value * 0x9E3779B97F4A7C15ULL);
  }
};
