#include "runtime/discovery/aws_signature.hpp"
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <algorithm>
#include <array>
#include <ctime>
#include <stdexcept>

namespace roost::discovery {
namespace {

constexpr std::string_view algorithm = "AWS4-HMAC-SHA256";

std::string hex(std::string_view bytes) {
  static constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  for (unsigned char byte : bytes) (text += digits[byte >> 4]) += digits[byte & 15];
  return text;
}

std::string taken(const std::array<unsigned char, EVP_MAX_MD_SIZE>& digest, unsigned size) {
  return {reinterpret_cast<const char*>(digest.data()), size};
}

std::string sha256(std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  if (EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha256(), nullptr) != 1)
    throw std::runtime_error("expected OpenSSL to make a digest, got an error");
  return hex(taken(digest, size));
}

std::string hmac(std::string_view key, std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
  if (HMAC(
          EVP_sha256(), key.data(), static_cast<int>(key.size()), bytes, text.size(), digest.data(),
          &size) == nullptr)
    throw std::runtime_error("expected OpenSSL to sign, got an error");
  return taken(digest, size);
}

std::string amz_date(std::chrono::system_clock::time_point time) {
  auto seconds = std::chrono::system_clock::to_time_t(time);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char text[32];
  return {text, std::strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", &parts)};
}

std::string canonical_query(const aws_parameters& query) {
  aws_parameters encoded;
  for (auto& [name, value] : query)
    encoded.emplace_back(net::percent_encoded(name), net::percent_encoded(value));
  std::sort(encoded.begin(), encoded.end());
  std::string text;
  for (auto& [name, value] : encoded) text += (text.empty() ? "" : "&") + name + "=" + value;
  return text;
}

/// A key for one day, one region and one service, so that who sees it cannot sign anything else.
std::string signing_key(
    const std::string& secret, const std::string& day, const aws_request& request) {
  return hmac(
      hmac(hmac(hmac("AWS4" + secret, day), request.region), request.service), "aws4_request");
}

}  // namespace

net::http_headers sign_aws(const aws_request& request, const aws_credentials& credentials) {
  auto date = amz_date(request.time);
  net::http_headers added{{"x-amz-date", date}};
  if (!credentials.session_token.empty())
    added.emplace_back("x-amz-security-token", credentials.session_token);

  auto all = request.headers;
  all.emplace_back("host", request.host);
  all.insert(all.end(), added.begin(), added.end());
  std::sort(all.begin(), all.end());
  std::string headers, names;
  for (auto& [name, value] : all) {
    headers += name + ":" + value + "\n";
    names += (names.empty() ? "" : ";") + name;
  }
  auto canonical = request.method + "\n/\n" + canonical_query(request.query) + "\n" + headers +
                   "\n" + names + "\n" + sha256(request.body);

  auto day = date.substr(0, 8);
  auto scope = day + "/" + request.region + "/" + request.service + "/aws4_request";
  auto to_sign = std::string(algorithm) + "\n" + date + "\n" + scope + "\n" + sha256(canonical);
  auto signature = hex(hmac(signing_key(credentials.secret_access_key, day, request), to_sign));
  added.emplace_back(
      "authorization", std::string(algorithm) + " Credential=" + credentials.access_key_id + "/" +
                           scope + ", SignedHeaders=" + names + ", Signature=" + signature);
  return added;
}

std::string form_of(const aws_parameters& parameters) {
  std::string text;
  for (auto& [name, value] : parameters)
    text +=
        (text.empty() ? "" : "&") + net::percent_encoded(name) + "=" + net::percent_encoded(value);
  return text;
}

}  // namespace roost::discovery
