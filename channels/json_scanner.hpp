// private: walks over JSON text and says where each value begins and ends. It accepts exactly RFC
// 8259 (no lone surrogate escapes, raw control characters, leading zeros or NaN), looks at each
// byte once, allocates nothing and does not recurse. It does not check UTF-8: text frames were
// checked by the frame codec, and json::parse() checks with is_utf8().
//
//   json_scanner in(R"([1, {"a": 2}])");
//   std::string_view first, second;
//   bool good = in.open('[') && in.value(first) && in.take(',') && in.value(second) &&
//               in.close(']') && in.finish();       // first is `1`, second is `{"a": 2}`
//
// After the first failure reason() and offset() tell about it. A scanner belongs to one thread.
//
// Sources: RFC 8259 (JSON), RFC 3629 (UTF-8).
#pragma once
#include "channels/json.hpp"
#include <cstddef>
#include <string>
#include <string_view>

namespace roost {

class json_scanner {
 public:
  explicit json_scanner(std::string_view text, std::size_t max_depth = json::default_depth);

  /// Takes `[` or `{`, which counts as one level of nesting until close().
  bool open(char bracket);
  bool close(char bracket);

  /// Takes one value of any kind; `extent` is its text without the white space around it.
  bool value(std::string_view& extent);
  /// Takes a member's key (`extent` has its quotes) and the colon.
  bool key(std::string_view& extent);
  /// Whether a string inside the last value(), or the last key(), had a backslash.
  bool escaped() const { return escaped_; }

  /// Skips white space; when the next byte is `wanted`, takes it. Not taking it is no failure.
  bool take(char wanted);
  /// The same for a comma that must be there.
  bool comma();
  /// Checks that nothing but white space is left.
  bool finish();

  const char* reason() const { return reason_; }  // nullptr as long as all went well
  std::size_t offset() const { return static_cast<std::size_t>(at_ - begin_); }

 private:
  struct bracket_stack;

  const char* skip_value(const char* p);
  const char* enter(const char* p, bracket_stack& open);
  const char* to_value(const char* p, const bracket_stack& open);
  const char* leave(const char* p, bracket_stack& open);
  const char* skip_scalar(const char* p);
  const char* skip_string(const char* p);
  const char* skip_escape(const char* p);
  const char* skip_key(const char* p);
  const char* skip_word(const char* p, std::string_view word);
  const char* skip_number(const char* p);
  const char* skip_space(const char* p) const;
  const char* fail(const char* p, const char* reason);

  const char* begin_;
  const char* at_;
  const char* end_;
  std::size_t levels_left_;
  const char* reason_ = nullptr;
  bool escaped_ = false;
};

inline const char* json_scanner::skip_space(const char* p) const {
  while (p != end_ && static_cast<unsigned char>(*p) <= ' ' &&
         (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
    ++p;
  return p;
}

inline bool json_scanner::take(char wanted) {
  at_ = skip_space(at_);
  if (at_ == end_ || *at_ != wanted) return false;
  ++at_;
  return true;
}

inline bool json_scanner::comma() {
  return take(',') || fail(at_, "expected a comma and another element") != nullptr;
}

inline bool json_scanner::open(char bracket) {
  if (levels_left_ == 0) return fail(at_, "expected less nesting") != nullptr;
  --levels_left_;
  if (take(bracket)) return true;
  return fail(at_, bracket == '[' ? "expected [" : "expected {") != nullptr;
}

inline bool json_scanner::close(char bracket) {
  ++levels_left_;
  if (take(bracket)) return true;
  return fail(at_, bracket == ']' ? "expected , or ]" : "expected , or }") != nullptr;
}

/// One whole document, white space around it allowed.
bool is_json(std::string_view text, std::size_t max_depth = json::default_depth);

bool is_utf8(std::string_view text);

/// The value of text that a scanner accepted; anything else is undefined behaviour.
json read_valid_json(std::string_view text);

/// The first byte of [p, end) that cannot stand for itself inside a JSON string (a quote, a
/// backslash or a control character), or `end`.
const char* find_special(const char* p, const char* end);

/// Adds `text` in quotes, escaped. False, and `out` as it was, when `text` is not UTF-8.
bool append_quoted(std::string& out, std::string_view text);

/// The same into memory with room for quoted_bound() bytes; gives the end, or nullptr.
char* write_quoted(char* at, std::string_view text);
constexpr std::size_t quoted_bound(std::string_view text) { return 6 * text.size() + 2; }

/// Adds what a valid JSON string means; `inside` is its text between the quotes.
void append_unescaped(std::string& out, std::string_view inside);

}  // namespace roost
