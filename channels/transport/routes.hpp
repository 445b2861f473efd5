// private: which route, socket or file a path means. Pure, apart from reading files.
#pragma once
#include "channels/endpoint_context.hpp"

namespace roost::detail {

struct socket_match {
  const socket_mount* mount;
  std::vector<params::entry> path_parameters;
};

/// The socket whose `<mount>/<transport>` is this path; a trailing slash is accepted.
std::optional<socket_match> match_socket(
    const endpoint_spec& spec, std::string_view path, std::string_view transport);

const http_route* match_route(
    const endpoint_spec& spec, std::string_view method, std::string_view path);

/// Percent-decoded; nothing if it is malformed.
std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space);

/// "a=1&b=2". Malformed pairs are left out.
params parse_query(std::string_view query);

/// The file's response, or nothing if there is none. Answers 304 when the client has it already.
std::optional<http_response> static_file(
    const std::string& directory, std::string_view path, std::string_view if_none_match);

}  // namespace roost::detail
