// Of simdjson only the UTF-8 check is used. Its parsers refuse integers over 64 bits and 1e400,
// which are valid JSON and must pass, and build a document where only extents are wanted.
#include "channels/json_scanner.hpp"
#include <simdjson.h>
#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace roost {
namespace {

// find_special() counts zero bits from the end that holds the first byte of the text.
static_assert(std::endian::native == std::endian::little);

constexpr std::uint64_t every_byte(unsigned char byte) { return 0x0101010101010101u * byte; }

// A high bit for each byte equal to `byte`. Bytes after the first match may be wrong, since the
// subtraction borrows from them; only the first is asked for.
constexpr std::uint64_t equal_bytes(std::uint64_t word, unsigned char byte) {
  const std::uint64_t difference = word ^ every_byte(byte);
  return (difference - every_byte(0x01)) & ~difference;
}

constexpr std::uint64_t control_bytes(std::uint64_t word) {
  return (word - every_byte(0x20)) & ~word;
}

bool is_special(char c) { return c == '"' || c == '\\' || static_cast<unsigned char>(c) < 0x20; }

template <class Word>
std::uint64_t load(const char* p) {
  Word word;
  std::memcpy(&word, p, sizeof word);
  return word;
}

constexpr std::uint64_t special_bytes(std::uint64_t word) {
  return (equal_bytes(word, '"') | equal_bytes(word, '\\') | control_bytes(word)) &
         every_byte(0x80);
}

inline const char* next_special(const char* p, const char* end) {
#if defined(__SSE2__)  // six times as fast as words on long strings
  for (; end - p >= 16; p += 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    const __m128i quotes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"'));
    const __m128i backslashes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'));
    const __m128i controls = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
    const int hits = _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quotes, backslashes), controls));
    if (hits != 0) return p + std::countr_zero(static_cast<unsigned>(hits));
  }
#endif
  for (; end - p >= 8; p += 8) {
    const std::uint64_t hits = special_bytes(load<std::uint64_t>(p));
    if (hits != 0) return p + std::countr_zero(hits) / 8;
  }
  while (p != end && !is_special(*p)) ++p;
  return p;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// -1 for anything but a hexadecimal digit.
int hex_digit(char c) {
  if (is_digit(c)) return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// The four digits of a \u escape, or -1.
int code_unit(const char* p, const char* end) {
  if (end - p < 4) return -1;
  int unit = 0;
  for (int i = 0; i < 4; ++i) {
    const int digit = hex_digit(p[i]);
    if (digit < 0) return -1;
    unit = unit << 4 | digit;
  }
  return unit;
}

constexpr bool is_high_surrogate(int unit) { return unit >= 0xd800 && unit <= 0xdbff; }
constexpr bool is_low_surrogate(int unit) { return unit >= 0xdc00 && unit <= 0xdfff; }

// The second half of a surrogate pair, `\uDC00` to `\uDFFF`, or -1.
int low_surrogate(const char* p, const char* end) {
  if (end - p < 6 || p[0] != '\\' || p[1] != 'u') return -1;
  const int unit = code_unit(p + 2, end);
  return is_low_surrogate(unit) ? unit : -1;
}

void append_code_point(std::string& out, std::uint32_t point) {
  const auto add = [&](std::uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (point < 0x80) return add(point);
  if (point < 0x800) {
    add(0xc0 | point >> 6);
  } else {
    if (point < 0x10000) {
      add(0xe0 | point >> 12);
    } else {
      add(0xf0 | point >> 18);
      add(0x80 | (point >> 12 & 0x3f));
    }
    add(0x80 | (point >> 6 & 0x3f));
  }
  add(0x80 | (point & 0x3f));
}

// `p` is after the `u` of a valid escape; gives the place after the escape.
const char* append_unicode_escape(std::string& out, const char* p, const char* end) {
  const int unit = code_unit(p, end);
  p += 4;
  if (!is_high_surrogate(unit)) {
    append_code_point(out, static_cast<std::uint32_t>(unit));
    return p;
  }
  const int low = code_unit(p + 2, end);
  append_code_point(
      out, static_cast<std::uint32_t>(0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00)));
  return p + 6;
}

char meaning_of_escape(char letter) {
  switch (letter) {
    case 'b':
      return '\b';
    case 'f':
      return '\f';
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    default:
      return letter;  // a quote, a backslash or a slash
  }
}

char letter_of_escape(char c) {
  switch (c) {
    case '"':
      return '"';
    case '\\':
      return '\\';
    case '\b':
      return 'b';
    case '\f':
      return 'f';
    case '\n':
      return 'n';
    case '\r':
      return 'r';
    case '\t':
      return 't';
    default:
      return 'u';
  }
}

// Text goes either to the end of a string or to memory known to have room for it.
struct memory {
  char* at;
  void append(const char* p, const char* end) { at = std::copy(p, end, at); }
};

template <class Out>
void append_escape(Out& out, char c) {
  const char* digits = "0123456789abcdef";
  const char escape[] = {'\\', letter_of_escape(c), '0', '0', digits[c >> 4 & 15], digits[c & 15]};
  out.append(escape, escape + (escape[1] == 'u' ? 6 : 2));
}

template <class Out>
void append_escaped(Out& out, std::string_view text) {
  const char* p = text.data();
  const char* end = p + text.size();
  for (;;) {
    const char* special = next_special(p, end);
    out.append(p, special);
    if (special == end) return;
    append_escape(out, *special);
    p = special + 1;
  }
}

bool is_ascii(std::string_view text) {
  std::uint64_t seen = 0;
  std::size_t i = 0;
  for (; i + 8 <= text.size(); i += 8) seen |= load<std::uint64_t>(text.data() + i);
  for (; i < text.size(); ++i) seen |= static_cast<unsigned char>(text[i]);
  return (seen & every_byte(0x80)) == 0;
}

// ASCII that needs no escapes: most topics, events and keys. Words may overlap at the end.
bool is_plain(std::string_view text) {
  const auto good = [](std::uint64_t word) {
    return ((word & every_byte(0x80)) | special_bytes(word)) == 0;
  };
  const char* p = text.data();
  const char* end = p + text.size();
  if (text.size() < 4)
    return std::all_of(p, end, [](char c) { return !is_special(c) && (c & 0x80) == 0; });
  if (text.size() < 8) return good(load<std::uint32_t>(p) | load<std::uint32_t>(end - 4) << 32);
  for (; end - p > 8; p += 8)
    if (!good(load<std::uint64_t>(p))) return false;
  return good(load<std::uint64_t>(end - 8));
}

}  // namespace

const char* find_special(const char* p, const char* end) { return next_special(p, end); }

json_scanner::json_scanner(std::string_view text, std::size_t max_depth)
    : begin_(text.data()),
      at_(begin_),
      end_(begin_ + text.size()),
      levels_left_(std::min(max_depth, json::depth_limit)) {}

const char* json_scanner::fail(const char* p, const char* reason) {
  if (reason_ == nullptr) {
    reason_ = reason;
    at_ = p;
  }
  return nullptr;
}

// `p` is after the backslash.
const char* json_scanner::skip_escape(const char* p) {
  escaped_ = true;
  if (p == end_) return fail(p, "expected the string to end");
  if (*p != 'u') {
    if (*p == '\0' || std::strchr("\"\\/bfnrt", *p) == nullptr)
      return fail(p, "expected one of \"\\/bfnrtu after a backslash");
    return p + 1;
  }
  const int unit = code_unit(p + 1, end_);
  if (unit < 0) return fail(p, "expected four hexadecimal digits after \\u");
  if (is_low_surrogate(unit)) return fail(p, "expected a high surrogate before a low one");
  if (!is_high_surrogate(unit)) return p + 5;
  if (low_surrogate(p + 5, end_) < 0) return fail(p, "expected a low surrogate after a high one");
  return p + 11;
}

// `p` is after the opening quote.
inline const char* json_scanner::skip_string(const char* p) {
  for (;;) {
    p = next_special(p, end_);
    if (p == end_) return fail(p, "expected the string to end");
    if (*p == '"') return p + 1;
    if (*p != '\\') return fail(p, "expected control characters to be escaped");
    p = skip_escape(p + 1);
    if (p == nullptr) return nullptr;
  }
}

// Up to and with the colon.
inline const char* json_scanner::skip_key(const char* p) {
  p = skip_space(p);
  if (p == end_ || *p != '"') return fail(p, "expected a key in quotes");
  p = skip_string(p + 1);
  if (p == nullptr) return nullptr;
  p = skip_space(p);
  if (p == end_ || *p != ':') return fail(p, "expected a colon after the key");
  return p + 1;
}

inline const char* json_scanner::skip_word(const char* p, std::string_view word) {
  if (static_cast<std::size_t>(end_ - p) < word.size() ||
      std::memcmp(p, word.data(), word.size()) != 0)
    return fail(p, "expected a value");
  return p + word.size();
}

inline const char* json_scanner::skip_number(const char* p) {
  const auto digits = [this](const char* at) {
    while (at != end_ && is_digit(*at)) ++at;
    return at;
  };
  if (*p == '-') ++p;
  if (p == end_ || !is_digit(*p)) return fail(p, "expected a value");
  const char* whole = p;
  p = digits(p);
  if (*whole == '0' && p - whole > 1) return fail(whole, "expected no zero before a number");
  if (p != end_ && *p == '.') {
    const char* fraction = p + 1;
    p = digits(fraction);
    if (p == fraction) return fail(p, "expected a digit after the decimal point");
  }
  if (p != end_ && (*p == 'e' || *p == 'E')) {
    ++p;
    if (p != end_ && (*p == '+' || *p == '-')) ++p;
    const char* exponent = p;
    p = digits(exponent);
    if (p == exponent) return fail(p, "expected a digit in the exponent");
  }
  return p;
}

inline const char* json_scanner::skip_scalar(const char* p) {
  switch (*p) {
    case '"':
      return skip_string(p + 1);
    case 't':
      return skip_word(p, "true");
    case 'f':
      return skip_word(p, "false");
    case 'n':
      return skip_word(p, "null");
    default:
      return skip_number(p);
  }
}

// The brackets that must come to close what is open; `[` + 2 is `]`, and `{` + 2 is `}`.
struct json_scanner::bracket_stack {
  char closers[json::depth_limit];
  std::size_t depth = 0;

  void push(char bracket) { closers[depth++] = static_cast<char>(bracket + 2); }
  char top() const { return closers[depth - 1]; }
};

inline const char* json_scanner::enter(const char* p, bracket_stack& open) {
  if (open.depth == levels_left_) return fail(p, "expected less nesting");
  open.push(*p);
  return skip_space(p + 1);
}

// After an opening bracket or a comma.
inline const char* json_scanner::to_value(const char* p, const bracket_stack& open) {
  return open.top() == '}' ? skip_key(p) : p;
}

// After a value: closes all containers that end here and stops before the next value, if any.
inline const char* json_scanner::leave(const char* p, bracket_stack& open) {
  while (open.depth > 0) {
    p = skip_space(p);
    const char closer = open.top();
    if (p != end_ && *p == ',') return to_value(p + 1, open);
    if (p == end_ || *p != closer)
      return fail(p, closer == ']' ? "expected , or ]" : "expected , or }");
    ++p;
    --open.depth;
  }
  return p;
}

const char* json_scanner::skip_value(const char* p) {
  bracket_stack open;
  do {
    p = skip_space(p);
    if (p == end_) return fail(p, "expected a value");
    if (*p == '[' || *p == '{') {
      p = enter(p, open);
      if (p == nullptr) return nullptr;
      const bool is_empty = p != end_ && *p == open.top();
      p = is_empty ? leave(p, open) : to_value(p, open);
    } else {
      p = skip_scalar(p);
      if (p == nullptr) return nullptr;
      p = leave(p, open);
    }
  } while (p != nullptr && open.depth > 0);
  return p;
}

bool json_scanner::value(std::string_view& extent) {
  escaped_ = false;
  const char* start = skip_space(at_);
  // Most of a frame's elements are strings, and need no stack of brackets.
  const char* past = start != end_ && *start == '"' ? skip_string(start + 1) : skip_value(start);
  if (past == nullptr) return false;
  extent = {start, static_cast<std::size_t>(past - start)};
  at_ = past;
  return true;
}

bool json_scanner::key(std::string_view& extent) {
  escaped_ = false;
  const char* start = skip_space(at_);
  const char* past = skip_key(start);
  if (past == nullptr) return false;
  const char* quote = past - 1;
  while (*quote != '"') --quote;
  extent = {start, static_cast<std::size_t>(quote + 1 - start)};
  at_ = past;
  return true;
}

bool json_scanner::finish() {
  at_ = skip_space(at_);
  return at_ == end_ || fail(at_, "expected nothing after the document") != nullptr;
}

bool is_json(std::string_view text, std::size_t max_depth) {
  json_scanner in(text, max_depth);
  std::string_view extent;
  return in.value(extent) && in.finish();
}

bool is_utf8(std::string_view text) {
  return is_ascii(text) || simdjson::validate_utf8(text.data(), text.size());
}

bool append_quoted(std::string& out, std::string_view text) {
  const bool plain = is_plain(text);
  if (!plain && !is_utf8(text)) return false;
  out.push_back('"');
  if (plain)
    out.append(text);
  else
    append_escaped(out, text);
  out.push_back('"');
  return true;
}

char* write_quoted(char* at, std::string_view text) {
  memory out{at};
  *out.at++ = '"';
  if (is_plain(text))
    out.append(text.data(), text.data() + text.size());
  else if (is_utf8(text))
    append_escaped(out, text);
  else
    return nullptr;
  *out.at++ = '"';
  return out.at;
}

void append_unescaped(std::string& out, std::string_view inside) {
  const char* p = inside.data();
  const char* end = p + inside.size();
  for (;;) {
    const char* backslash = std::find(p, end, '\\');
    out.append(p, backslash);
    if (backslash == end) return;
    p = backslash + 2;
    if (backslash[1] == 'u')
      p = append_unicode_escape(out, p, end);
    else
      out.push_back(meaning_of_escape(backslash[1]));
  }
}

}  // namespace roost
