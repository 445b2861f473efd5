#include "runtime/net/redis_url.hpp"
#include <algorithm>
#include <charconv>
#include <stdexcept>

namespace roost::net {
namespace {

[[noreturn]] void refuse(std::string_view what) {
  throw std::invalid_argument(
      "expected a redis url to be " + std::string(redis_url::form) + ", got one with " +
      std::string(what));
}

template <class Number>
Number number_of(std::string_view text, std::string_view what) {
  Number number{};
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) refuse(what);
  return number;
}

std::string decoded(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    auto size = text[0] == '%' ? std::size_t{3} : std::size_t{1};
    if (size == 1) {
      result += text[0];
    } else {
      unsigned char byte = 0;
      auto digits = text.substr(1, 2);
      auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), byte, 16);
      if (digits.size() != 2 || error != std::errc() || end != digits.data() + 2)
        refuse("a % that two hexadecimal digits do not follow");
      result += static_cast<char>(byte);
    }
    text.remove_prefix(size);
  }
  return result;
}

void take_account(redis_url& url, std::string_view account) {
  auto colon = account.find(':');
  if (colon == account.npos) refuse("an @ but no password before it");
  url.user = decoded(account.substr(0, colon));
  url.password = decoded(account.substr(colon + 1));
  if (url.password.empty()) refuse("an empty password");
}

}  // namespace

std::string redis_url::without_secrets() const {
  auto name = host.find(':') == host.npos ? host : "[" + host + "]";
  return (tls ? "rediss://" : "redis://") + name + ":" + std::to_string(port);
}

redis_url parse_redis_url(std::string_view text) {
  redis_url url;
  if (std::any_of(text.begin(), text.end(), [](char c) { return c <= ' ' || c == 0x7f; }))
    refuse("a space or a control character");
  url.tls = text.starts_with("rediss://");
  if (!url.tls && !text.starts_with("redis://")) refuse("another beginning");
  text.remove_prefix(url.tls ? 9 : 8);
  if (auto at = text.rfind('@'); at != text.npos) {
    take_account(url, text.substr(0, at));
    text.remove_prefix(at + 1);
  }
  if (auto slash = text.find('/'); slash != text.npos) {
    if (slash + 1 < text.size())
      number_of<std::uint32_t>(text.substr(slash + 1), "a database that is not a number");
    text = text.substr(0, slash);
  }
  if (text.starts_with('[')) {
    auto end = text.find(']');
    if (end == text.npos) refuse("an address without its ]");
    url.host = text.substr(1, end - 1);
    text.remove_prefix(end + 1);
    if (!text.empty() && text[0] != ':') refuse("something odd after the address");
  } else {
    url.host = text.substr(0, text.find(':'));
    text.remove_prefix(url.host.size());
  }
  if (!text.empty())
    url.port = number_of<std::uint16_t>(text.substr(1), "a port out of 1 to 65535");
  if (url.port == 0) refuse("a port out of 1 to 65535");
  if (url.host.empty()) refuse("no host");
  return url;
}

}  // namespace roost::net
