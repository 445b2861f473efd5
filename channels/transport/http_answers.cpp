#include "channels/transport/http_answers.hpp"
#include "runtime/telemetry.hpp"
#include <boost/beast/http/status.hpp>
#include <algorithm>
#include <cctype>

namespace roost::detail {
namespace {

const telemetry::event error_rendered{"phoenix.error_rendered"};

bool is_header_value(std::string_view text) {
  return text.find_first_of(std::string_view("\r\n\0", 3)) == text.npos;
}

}  // namespace

std::string lowered(std::string_view text) {
  std::string result(text);
  for (auto& c : result) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return result;
}

std::string_view reason_phrase(int status) {
  auto text = boost::beast::http::obsolete_reason(static_cast<boost::beast::http::status>(status));
  return {text.data(), text.size()};
}

http_response error_response(int status, std::string_view detail) {
  telemetry::execute(error_rendered, {}, {{"status", status}, {"detail", detail}});
  return json_response(status, json{{"errors", json{{"detail", detail}}}});
}

http_response plain_response(int status, std::string body) {
  return {.status = status, .body = std::move(body)};
}

void append_head(
    std::string& out, const http_response& response, std::size_t size, bool keep_alive) {
  out += "HTTP/1.1 " + std::to_string(response.status) + " ";
  out.append(reason_phrase(response.status)).append("\r\n");
  if (response.status != 304 && response.status != 204) {
    if (is_header_value(response.content_type))
      out += "content-type: " + response.content_type + "\r\n";
    out += "content-length: " + std::to_string(size) + "\r\n";
  }
  for (auto& [name, value] : response.headers)
    if (is_header_value(name) && is_header_value(value)) out += name + ": " + value + "\r\n";
  if (!keep_alive) out += "connection: close\r\n";
  out += "\r\n";
}

}  // namespace roost::detail
