// private: the addresses of a server's name.
#pragma once
#include <chrono>
#include <string>
#include <vector>

namespace roost::detail {

bool is_address(const std::string& host);

/// Blocks. Remembers an answer for a second: thousands of clients of one server ask for one name at
/// about the same time. Throws what net::addresses_of throws. Any thread.
std::vector<std::string> look_up_host(const std::string& host, std::chrono::milliseconds timeout);

}  // namespace roost::detail
