// private: the nodes and names that the pids and references of this node speak of.
//
// A pid carries its node as a small number. Number 0 is this node; every other (name, incarnation)
// that was ever seen has a number of its own, for ever, so that a pid costs 16 bytes and two pids
// can be compared without looking at text. Incarnation 0 stands for whoever runs under a name, as
// in {Name, Node}.
//
// References have only 16 bits for their node, so those numbers are given again to other nodes when
// all are in use, the one that has been unused for longest first. A reference is always used
// together with the pid that it belongs to, which tells the nodes apart.
//
// Thread safety: any thread. Reading takes no lock.
#pragma once
#include "runtime/pid.hpp"
#include <string_view>

namespace roost::detail {

struct node_identity {
  std::string_view name;  // valid for ever
  std::uint64_t incarnation = 0;
};

/// This node. Without a name (nonode@nohost) nothing leaves it.
const node_identity& this_node() noexcept;

/// Before the first link; an empty name takes it back. The incarnation is chosen here.
void name_this_node(std::string_view name);

/// The number of a node: 0 for this one, in its present incarnation or in incarnation 0.
std::uint32_t node_number(std::string_view name, std::uint64_t incarnation);

/// The node of a number that node_number has answered.
node_identity node_of_number(std::uint32_t number) noexcept;

/// Whether it is `name@host`, of at most 255 printable bytes without spaces.
bool is_node_name(std::string_view text) noexcept;

/// The node of a pid that stands for a CAF actor, which no other node can name.
inline constexpr std::uint32_t caf_node = 0xFFFF'FFFF;

/// The name in a pid that is_name().
std::string_view name_of(pid named) noexcept;
pid named_pid(std::string_view name, std::uint32_t node);

// --- references ----------------------------------------------------------------------------------

inline constexpr unsigned reference_bits = 48;

/// A reference of another node as this node keeps it, and back.
reference foreign_reference(std::uint32_t node, std::uint64_t count);
std::uint32_t reference_node(reference ref) noexcept;
constexpr std::uint64_t count_of(reference ref) noexcept {
  return ref.value & ((std::uint64_t{1} << reference_bits) - 1);
}

}  // namespace roost::detail
