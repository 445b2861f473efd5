// private: takes secrets out of text before it leaves the node.
//
//   secret_filter hide{{"password", "token"}};
//   hide.text("GET /?token=abc&room=1")   // → "GET /?token=[FILTERED]&room=1"
//
// What follows a name that contains one of the words, in any case, is hidden: `name=value`,
// `name: value`, `"name": value`, `.name = value`; values may be quoted, in brackets, or a scheme
// with its credentials (Bearer abc). A cookie or an authorization reads to the end of its line. So
// is the user of a URL: scheme://user:password@host.
//
// Pure. Thread safety: values. Source: Phoenix's filter_parameters, Sentry's data scrubbing.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace roost::detail {

inline constexpr auto filtered = "[FILTERED]";

class secret_filter {
 public:
  explicit secret_filter(std::vector<std::string> words = default_words());

  static std::vector<std::string> default_words() {
    return {"password", "token", "secret", "authorization", "cookie"};
  }

  bool hides(std::string_view name) const;
  std::string text(std::string_view text) const;

 private:
  std::vector<std::string> words_;  // in lower case
};

}  // namespace roost::detail
