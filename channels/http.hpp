// channels/http.hpp
//
// Plain HTTP beside the sockets: a few routes of your own, each a function from a request to a
// response. For a health check, a hook, a small API; it is no web framework.
//
//   roost::http_response greet(const roost::http_request& request) {
//     auto name = request.parameters["name"].value_or("you");
//     return roost::json_response(200, {{"hello", name}});
//   }
//   … .routes = {roost::get("/hello/:name", greet), roost::post("/hooks/paid", paid)}
//
// A segment ":name" of a path matches anything and becomes a parameter. The first route that fits
// is taken; a HEAD request is answered by a GET route, without the body. A body may have
// `limits.max_body` bytes (413 past it).
//
// Errors: an exception is reported as a crash and answered with 500. A path without a route, and a
// known path with another method, are answered with 404.
// Thread safety: a handler runs in a process of its own on the worker of the connection, and many
// may run at the same time on different workers. It must not block: the clients of that worker wait
// meanwhile.
// Source: Plug.Router, cut down.
#pragma once
#include "channels/json.hpp"
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace roost {

/// Query and path parameters, decoded; the last one wins when a name comes twice.
class params {
 public:
  using entry = std::pair<std::string, std::string>;

  params() = default;
  explicit params(std::vector<entry> entries) : entries_(std::move(entries)) {}

  std::optional<std::string_view> operator[](std::string_view name) const noexcept;
  const std::vector<entry>& entries() const noexcept { return entries_; }

 private:
  std::vector<entry> entries_;
};

using http_headers = std::vector<std::pair<std::string, std::string>>;

struct http_request {
  std::string method;
  std::string path;
  params query;
  params parameters;     // of the path
  http_headers headers;  // names in lower case
  std::string body;
  std::string peer_address;  // of the client, as trusted proxies tell it

  std::string_view header(std::string_view lower_case_name) const noexcept;  // empty: not there
};

struct http_response {
  int status = 200;
  std::string body = {};
  std::string content_type = "text/plain; charset=utf-8";
  http_headers headers = {};
};

/// A JSON body.
http_response json_response(int status, const json& body);

using http_handler = std::function<http_response(const http_request&)>;

struct http_route {
  std::string method;  // empty: any
  std::string path;
  http_handler handler;
};

inline http_route get(std::string path, http_handler handler) {
  return {"GET", std::move(path), std::move(handler)};
}
inline http_route post(std::string path, http_handler handler) {
  return {"POST", std::move(path), std::move(handler)};
}
inline http_route put(std::string path, http_handler handler) {
  return {"PUT", std::move(path), std::move(handler)};
}
inline http_route patch(std::string path, http_handler handler) {
  return {"PATCH", std::move(path), std::move(handler)};
}
inline http_route delete_(std::string path, http_handler handler) {
  return {"DELETE", std::move(path), std::move(handler)};
}
inline http_route any(std::string path, http_handler handler) {
  return {"", std::move(path), std::move(handler)};
}

}  // namespace roost
