// private: nodes that may ask this one's console and nothing else: a shell of somebody who may look
// but not touch.
//
// A node whose name begins with "guest-" is a guest: it proves another secret than the cookie, that
// of node::options::guest_cookie, and of what it sends only questions to the process named
// "console" pass. Anything else ends its link, for which nobody else pays.
#pragma once
#include "runtime/distribution/frames.hpp"

namespace roost::detail {

inline constexpr std::string_view guest_prefix = "guest-";
inline constexpr std::string_view console_name = "console";

constexpr bool is_guest(std::string_view node) noexcept { return node.starts_with(guest_prefix); }

/// Whether what a guest sends may pass.
bool guest_may_send(const incoming_signal& signal) noexcept;

}  // namespace roost::detail
