// private: which route or socket a path means. Pure.
#pragma once
#include "channels/endpoint.hpp"

namespace roost::detail {

/// The parts between the slashes, without empty ones.
std::vector<std::string_view> path_segments(std::string_view path);

struct socket_match {
  const socket_mount* mount;
  std::vector<params::entry> path_parameters;
};

/// The socket whose `<mount>/<transport>` is this path; a trailing slash is accepted.
std::optional<socket_match> match_socket(
    const std::vector<socket_mount>& sockets, std::string_view path, std::string_view transport);

struct route_match {
  const http_route* route;
  std::vector<params::entry> path_parameters;
};

/// The first route that fits.
std::optional<route_match> match_route(
    const std::vector<http_route>& routes, std::string_view method, std::string_view path);

/// Percent-decoded; nothing if it is malformed.
std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space);

/// "a=1&b=2". Malformed pairs are left out.
params parse_query(std::string_view query);

}  // namespace roost::detail
