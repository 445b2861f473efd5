// runtime/pid.hpp
//
// The address of a process. A pid is a small value that can be copied, compared, hashed and sent;
// it stays valid text after its process has gone and is never given to another process. Messages to
// a pid whose process has ended are dropped, as in Erlang.
//
//   roost::pid me = roost::self();
//   to_string(me)                    // "<0.42.3>": this node, slot 42, third use
//   to_string(down.process)          // "<chat@10.0.0.7:42.3>": a process of another node
//
// A pid of another node names the node's incarnation as well: when that node has been started
// again, its old pids are still told apart from its new ones. A name on another node, {Name, Node}
// in Erlang, is a pid too: roost::name_on("rooms", "b@host"). Its node finds the process when the
// message arrives.
//
// Thread safety: plain values.
#pragma once
#include <compare>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace roost {

struct pid {
  std::uint64_t id = 0;    // 0: nobody
  std::uint32_t node = 0;  // 0: this node; others are numbers that only this node knows

  explicit operator bool() const noexcept { return id != 0; }
  bool is_local() const noexcept { return node == 0; }
  /// Whether it is a name on another node rather than a process.
  bool is_name() const noexcept { return (id >> 63) != 0; }
  friend auto operator<=>(const pid&, const pid&) = default;
};

std::string to_string(pid pid);

/// The node of a process: "chat@10.0.0.7"; this node's name for a process of its own.
std::string node_of(pid process);

/// {Name, Node}: whoever has the name there when a message arrives. With this node's own name, the
/// process that has the name now, or nobody. Throws std::invalid_argument unless `node` reads
/// name@host and neither is longer than 255 bytes.
pid name_on(std::string_view name, std::string_view node);

/// A unique reference, as make_ref/0: names a monitor, a call or a timer. The upper 16 bits are 0
/// for references of this node; else they are a number of the node that made it.
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
