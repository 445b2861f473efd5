// private: files of a directory, as answers that browsers and CDNs may keep.
//
// A file has an ETag of its size and time, and is to be asked for again ("public, no-cache"); asked
// for with a query "vsn=d", as digested names are, it holds for a year. A file with a neighbour of
// the same name and .br or .gz is answered with that when the client takes it. Files whose name
// begins with a dot, and files outside the directory, are not there.
//
// Source: Plug.Static.
#pragma once
#include "channels/http.hpp"
#include "channels/transport/file_body.hpp"

namespace roost::detail {

struct static_request {
  std::string_view path;
  std::string_view query = {};
  std::string_view if_none_match = {};
  std::string_view accept_encoding = {};
  std::string_view range = {};
};

struct static_answer {
  http_response response;
  file_body file;  // instead of the response's body
};

/// Nothing: there is no such file.
std::optional<static_answer> static_file(
    const std::string& directory, const static_request& request);

}  // namespace roost::detail
