#include "runtime/discovery/ec2_metadata.hpp"
#include "runtime/net/http_client.hpp"
#include <simdjson.h>
#include <ctime>
#include <stdexcept>

namespace roost::discovery {
namespace {

constexpr std::size_t largest_answer = std::size_t{64} << 10;

std::string checked(const std::string& url, net::http_response answer) {
  auto& text = answer.body;
  while (!text.empty() && static_cast<unsigned char>(text.back()) <= ' ') text.pop_back();
  if (answer.status == 200 && !text.empty()) return text;
  throw std::runtime_error(
      "expected " + url + " to answer with 200 and a text, got " + std::to_string(answer.status));
}

/// As 2026-01-31T12:00:00Z.
std::chrono::system_clock::time_point time_of(const std::string& text) {
  std::tm parts{};
  auto* end = ::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
  if (end == nullptr || *end != 'Z')
    throw std::runtime_error(
        "expected the credentials of the role to have an Expiration, got none");
  return std::chrono::system_clock::from_time_t(::timegm(&parts));
}

std::string text_at(simdjson::dom::object object, std::string_view key) {
  std::string_view text;
  if (object.at_key(key).get(text) || text.empty())
    throw std::runtime_error(
        "expected the credentials of the role to have " + std::string(key) + ", got none");
  return std::string(text);
}

}  // namespace

ec2_role_credentials ec2_metadata::role_credentials() const {
  const std::string directory = "iam/security-credentials/";
  auto roles = get(directory);
  auto json = get(directory + roles.substr(0, roles.find('\n')));
  simdjson::dom::parser parser;
  simdjson::dom::object object;
  if (parser.parse(json).get(object))
    throw std::runtime_error("expected the credentials of the role to be JSON, got something else");
  return {
      .keys =
          {.access_key_id = text_at(object, "AccessKeyId"),
           .secret_access_key = text_at(object, "SecretAccessKey"),
           .session_token = text_at(object, "Token")},
      .expiration = time_of(text_at(object, "Expiration"))};
}

std::string ec2_metadata::get(const std::string& path) const {
  auto url = endpoint_ + "/latest/meta-data/" + path;
  return checked(
      url, net::ask_http(
               {.url = url,
                .headers = {{"x-aws-ec2-metadata-token", token()}},
                .timeout = timeout_,
                .max_body = largest_answer}));
}

/// One for each question: they are rare, and so nobody has to know when it expires.
std::string ec2_metadata::token() const {
  auto url = endpoint_ + "/latest/api/token";
  return checked(
      url, net::ask_http(
               {.url = url,
                .method = net::http_method::put,
                .headers = {{"x-aws-ec2-metadata-token-ttl-seconds", "60"}},
                .timeout = timeout_,
                .max_body = largest_answer}));
}

}  // namespace roost::discovery
