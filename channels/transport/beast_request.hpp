// private: a request as Beast parses it, and what it is for.
#pragma once
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/string_body.hpp>
#include <string_view>

namespace roost::detail {

using beast_request = boost::beast::http::request<boost::beast::http::string_body>;

inline std::string_view view(boost::beast::string_view text) { return {text.data(), text.size()}; }

inline std::string_view path_of(const beast_request& message) {
  auto target = view(message.target());
  return target.substr(0, target.find('?'));
}

inline std::string_view query_of(const beast_request& message) {
  auto target = view(message.target());
  auto question = target.find('?');
  return question == target.npos ? std::string_view() : target.substr(question + 1);
}

}  // namespace roost::detail
