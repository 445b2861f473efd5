// private: which errors are the same one.
//
// Two errors are when their type, the place, the functions of their stack, and what they say are
// the same, once everything that changes from time to time is replaced: pids, numbers, addresses.
//
//   normalized("user 17 of <0.42.0> at 0x7f3a") == "user <n> of <pid> at <n>"
//
// Pure. Source: Sentry's grouping.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace roost::detail {

/// At most the first 500 bytes count.
std::string normalized(std::string_view message);

/// "chat::room::join(int)+0x1f" and "#3 0x55d0 in chat::room::join(int)" → "chat::room::join".
std::string function_of(std::string_view frame);

/// 16 hexadecimal digits.
std::string fingerprint(
    std::string_view type, std::string_view where, const std::vector<std::string>& stack,
    std::string_view message);

}  // namespace roost::detail
