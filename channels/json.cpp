#include "channels/json.hpp"
#include "channels/json_scanner.hpp"
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>

namespace roost {
namespace {

constinit const json null_json{};

// A number as digits without zeros at either end, times a power of ten: -0.0250 is -25e-4.
// Two JSON numbers are the same number when their decimals are equal.
struct decimal {
  bool negative = false;
  std::string digits;  // empty for zero
  std::int64_t exponent = 0;
  std::string_view absurd_exponent;  // the text of one that does not fit `exponent`

  bool operator==(const decimal&) const = default;
};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

void read_exponent(decimal& number, std::string_view text) {
  if (text.front() == '+') text.remove_prefix(1);
  std::int64_t exponent = 0;
  std::from_chars(text.data(), text.data() + text.size(), exponent);
  // Far above what a text in memory can shift it by, far below overflow.
  constexpr std::int64_t limit = std::int64_t{1} << 61;
  if (text.size() > 18 || exponent > limit || exponent < -limit)
    number.absurd_exponent = text;
  else
    number.exponent += exponent;
}

void strip_zeros(decimal& number) {
  number.digits.erase(0, number.digits.find_first_not_of('0'));
  while (!number.digits.empty() && number.digits.back() == '0') {
    number.digits.pop_back();
    ++number.exponent;
  }
  if (number.digits.empty()) number = {};
}

// `text` is a valid JSON number.
decimal read_decimal(std::string_view text) {
  decimal number;
  const char* p = text.data();
  const char* end = p + text.size();
  if (*p == '-') {
    number.negative = true;
    ++p;
  }
  bool fraction = false;
  for (; p != end && (is_digit(*p) || *p == '.'); ++p) {
    if (*p == '.') {
      fraction = true;
      continue;
    }
    number.digits.push_back(*p);
    if (fraction) --number.exponent;
  }
  if (p != end) read_exponent(number, {p + 1, end});
  strip_zeros(number);
  return number;
}

// Below one; for numbers known not to be zero.
bool is_tiny(const decimal& number) {
  if (!number.absurd_exponent.empty()) return number.absurd_exponent.front() == '-';
  return number.exponent + static_cast<std::int64_t>(number.digits.size()) <= 0;
}

// Enough for every int64 and for the shortest text of every double, `.0` included.
struct number_buffer {
  char text[40];
  std::size_t size = 0;
  std::string_view view() const { return {text, size}; }
};

number_buffer format(std::int64_t value) {
  number_buffer buffer;
  buffer.size = static_cast<std::size_t>(
      std::to_chars(buffer.text, std::end(buffer.text), value).ptr - buffer.text);
  return buffer;
}

// The shortest text that reads back as the same double. Whole numbers get a `.0`, so that what was
// a double stays one.
number_buffer format(double value) {
  number_buffer buffer;
  char* past = std::to_chars(buffer.text, std::end(buffer.text) - 2, value).ptr;
  const bool whole = std::all_of(buffer.text, past, [](char c) { return is_digit(c) || c == '-'; });
  if (whole) past = std::copy_n(".0", 2, past);
  buffer.size = static_cast<std::size_t>(past - buffer.text);
  return buffer;
}

// Every decimal of up to 15 digits comes back from a double (that is what digits10 says), except
// near the ends of its range.
bool surely_round_trips(std::string_view text) {
  constexpr std::size_t safe_length = std::numeric_limits<double>::digits10;
  return text.size() <= safe_length && text.find_first_of("eE") == text.npos;
}

// The double that stands for exactly this number: its shortest text has the same decimal value.
std::optional<double> exact_double(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || !std::isfinite(value)) return std::nullopt;
  if (surely_round_trips(text)) return value;
  if (read_decimal(format(value).view()) != read_decimal(text)) return std::nullopt;
  return value;
}

std::optional<std::int64_t> exact_integer(std::string_view text) {
  if (text == "-0") return std::nullopt;  // an int64 would forget the sign
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// A whole double in the range of int64, whose upper end is itself no double.
std::optional<std::int64_t> whole_number(double value) {
  constexpr double limit = 9223372036854775808.0;
  if (value < -limit || value >= limit || value != std::trunc(value)) return std::nullopt;
  return static_cast<std::int64_t>(value);
}

std::string quoted(std::string_view text) {
  std::string out;
  if (!append_quoted(out, text)) out = "(a string that is not UTF-8)";
  return out;
}

template <class Items>
auto span_of(Items& items) {
  return std::span(items.data(), items.size());
}

using member_order = std::vector<const json_member*>;

member_order sorted_by_key(std::span<const json_member> members) {
  member_order order;
  order.reserve(members.size());
  for (const json_member& member : members) order.push_back(&member);
  std::ranges::stable_sort(order, {}, &json_member::key);
  return order;
}

bool same_key(const json_member* left, const json_member* right) { return left->key == right->key; }

[[gnu::noinline]] bool has_repeated_key(std::span<const json_member> members) {
  if (members.size() <= 16) {  // cheaper than sorting
    for (std::size_t i = 1; i < members.size(); ++i)
      for (std::size_t k = 0; k < i; ++k)
        if (members[i].key == members[k].key) return true;
    return false;
  }
  const member_order order = sorted_by_key(members);
  return std::ranges::adjacent_find(order, same_key) != order.end();
}

// A key that comes twice keeps its first place and its last value, as in JavaScript.
[[gnu::noinline]] void merge_repeated_keys(std::vector<json_member>& members) {
  const member_order order = sorted_by_key(members);
  std::vector<bool> dropped(members.size());
  const auto place = [&](const json_member* member) {
    return static_cast<std::size_t>(member - members.data());
  };
  for (auto first = order.begin(); first != order.end();) {
    const auto last = std::find_if_not(
        first, order.end(), [&](const json_member* other) { return same_key(*first, other); });
    for (auto later = first + 1; later != last; ++later) {
      members[place(*first)].value = std::move(members[place(*later)].value);
      dropped[place(*later)] = true;
    }
    first = last;
  }
  std::size_t kept = 0;
  for (std::size_t i = 0; i < members.size(); ++i)
    if (!dropped[i] && kept++ != i) members[kept - 1] = std::move(members[i]);
  members.resize(kept);
}

// Cuts after at most `limit` bytes, never inside a character.
std::string shortened(std::string text, std::size_t limit) {
  if (text.size() <= limit) return text;
  while (limit > 0 && (text[limit] & 0xc0) == 0x80) --limit;
  return text.erase(limit) + "…";
}

}  // namespace

// Builds the value of text that the scanner accepted, so nothing here can fail. Recursion is as
// deep as the nesting, which the scanner limits; what need not be in its frames is kept out of
// them.
class json_builder {
 public:
  explicit json_builder(std::string_view text) : at_(text.data()), end_(at_ + text.size()) {}

  json value() {
    switch (next()) {
      case '{':
        return object();
      case '[':
        return array();
      case '"':
        return json(string());
      case 't':
        at_ += 4;
        return json(true);
      case 'f':
        at_ += 5;
        return json(false);
      case 'n':
        at_ += 4;
        return json();
      default:
        return number();
    }
  }

  static json number_of(std::string_view text) {
    json number;
    const bool whole = text.find_first_of(".eE") == text.npos;
    if (const auto integer = whole ? exact_integer(text) : std::nullopt) {
      number.set_integer(*integer);
    } else if (const auto real = whole && text != "-0" ? std::nullopt : exact_double(text)) {
      number.set_double(*real);
    } else {
      number.data_.text = new std::string(text);
      number.kind_ = json::kind::big_number;
    }
    return number;
  }

 private:
  char next() {
    while (*at_ == ' ' || *at_ == '\n' || *at_ == '\r' || *at_ == '\t') ++at_;
    return *at_;
  }

  [[gnu::noinline]] std::string string() {
    const char* start = ++at_;
    bool escaped = false;
    for (at_ = find_special(at_, end_); *at_ == '\\'; at_ = find_special(at_ + 2, end_))
      escaped = true;
    const std::string_view inside(start, static_cast<std::size_t>(at_++ - start));
    if (!escaped) return std::string(inside);
    std::string text;
    append_unescaped(text, inside);
    return text;
  }

  [[gnu::noinline]] json number() {
    const char* start = at_;
    const auto is_part = [](char c) {
      return is_digit(c) || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E';
    };
    while (at_ != end_ && is_part(*at_)) ++at_;
    return number_of({start, static_cast<std::size_t>(at_ - start)});
  }

  json array() {
    const std::size_t first = items_.size();
    ++at_;
    if (next() != ']') {
      do items_.push_back(value());
      while (next() == ',' && ++at_);
    }
    ++at_;
    json result = json::array();
    *result.data_.items = taken_from(items_, first);
    return result;
  }

  json object() {
    const std::size_t first = members_.size();
    ++at_;
    if (next() != '}') {
      do members_.push_back(member());
      while (next() == ',' && ++at_);
    }
    ++at_;
    json result = json::object();
    *result.data_.members = taken_from(members_, first);
    if (has_repeated_key(*result.data_.members)) merge_repeated_keys(*result.data_.members);
    return result;
  }

  json_member member() {
    next();
    std::string key = string();
    next();
    ++at_;  // the colon
    return {std::move(key), value()};
  }

  // Containers grow at the end of these and leave once their size is known, so that each of them
  // takes one piece of memory.
  template <class Item>
  [[gnu::noinline]] static std::vector<Item> taken_from(
      std::vector<Item>& growing, std::size_t first) {
    const auto start = growing.begin() + static_cast<std::ptrdiff_t>(first);
    std::vector<Item> taken(std::make_move_iterator(start), std::make_move_iterator(growing.end()));
    growing.erase(start, growing.end());
    return taken;
  }

  const char* at_;
  const char* end_;
  std::vector<json> items_;
  std::vector<json_member> members_;
};

json read_valid_json(std::string_view text) { return json_builder(text).value(); }

parsed_json json::parse(std::string_view text, std::size_t max_depth) {
  parsed_json result;
  if (!is_utf8(text)) {
    result.error = "expected UTF-8";
    return result;
  }
  json_scanner in(text, max_depth);
  std::string_view extent;
  if (in.value(extent) && in.finish()) {
    result.value = read_valid_json(extent);
  } else {
    result.error = in.reason();
    result.offset = in.offset();
  }
  return result;
}

json::json(std::string text) : kind_(kind::string) {
  data_.text = new std::string(std::move(text));
}

json::json(std::initializer_list<field> fields) : json(object(fields)) {}

json json::array(std::initializer_list<json> items) {
  json result;
  result.data_.items = new std::vector<json>(items);
  result.kind_ = kind::array;
  return result;
}

json json::object(std::initializer_list<field> fields) {
  json result;
  result.become_object();
  result.reserve(fields.size());
  for (const field& field : fields) result[field.key] = std::move(field.value);
  return result;
}

json::json(const json& other) : data_(other.data_) {
  switch (other.kind_) {
    case kind::big_number:
    case kind::string:
      data_.text = new std::string(*other.data_.text);
      break;
    case kind::array:
      data_.items = new std::vector<json>(*other.data_.items);
      break;
    case kind::object:
      data_.members = new std::vector<json_member>(*other.data_.members);
      break;
    default:
      break;
  }
  kind_ = other.kind_;  // last: nothing is owned when a copy above runs out of memory
}

void json::destroy() noexcept {
  switch (kind_) {
    case kind::big_number:
    case kind::string:
      delete data_.text;
      break;
    case kind::array:
      delete data_.items;
      break;
    case kind::object:
      delete data_.members;
      break;
    default:
      break;
  }
}

void json::set_integer(std::int64_t value) noexcept {
  kind_ = kind::integer;
  data_.integer = value;
}

void json::set_unsigned(std::uint64_t value) {
  if (value <= std::numeric_limits<std::int64_t>::max())
    return set_integer(static_cast<std::int64_t>(value));
  data_.text = new std::string(std::to_string(value));
  kind_ = kind::big_number;
}

void json::set_double(double value) noexcept {
  if (!std::isfinite(value)) return;
  kind_ = kind::real;
  data_.real = value;
}

void json::become_array() {
  if (is_null()) *this = array();
  if (!is_array()) mismatch({}, "an array");
}

void json::become_object() {
  if (is_null()) {
    data_.members = new std::vector<json_member>();
    kind_ = kind::object;
  }
  if (!is_object()) mismatch({}, "an object");
}

bool json::is_int() const noexcept {
  return kind_ == kind::integer || (kind_ == kind::real && whole_number(data_.real));
}

const std::string& json::as_string() const { return string_named({}); }

std::string json::number_text() const {
  if (!is_number()) mismatch({}, "a number");
  std::string text;
  write(text);
  return text;
}

std::size_t json::size() const noexcept { return items().size() + members().size(); }

std::span<const json> json::items() const noexcept {
  return is_array() ? span_of(std::as_const(*data_.items)) : std::span<const json>();
}

std::span<json> json::items() noexcept {
  return is_array() ? span_of(*data_.items) : std::span<json>();
}

std::span<const json_member> json::members() const noexcept {
  return is_object() ? span_of(std::as_const(*data_.members)) : std::span<const json_member>();
}

std::span<json_member> json::members() noexcept {
  return is_object() ? span_of(*data_.members) : std::span<json_member>();
}

const json* json::find(std::string_view key) const noexcept {
  for (const json_member& member : members())
    if (member.key == key) return &member.value;
  return nullptr;
}

const json& json::operator[](std::string_view key) const noexcept {
  const json* value = find(key);
  return value != nullptr ? *value : null_json;
}

json& json::operator[](std::string_view key) {
  become_object();
  if (json* value = find(key)) return *value;
  return append(std::string(key), {});
}

const json& json::operator[](std::size_t index) const noexcept {
  return index < items().size() ? items()[index] : null_json;
}

const json& json::at(std::string_view key) const {
  if (const json* value = find(key)) return *value;
  throw json_error("expected key " + quoted(key) + " to be present, got " + excerpt());
}

const json& json::at(std::size_t index) const {
  if (index < items().size()) return items()[index];
  throw json_error(
      "expected element " + std::to_string(index) + " to be present, got " + excerpt());
}

void json::push_back(json value) {
  become_array();
  data_.items->push_back(std::move(value));
}

json& json::append(std::string key, json value) {
  become_object();
  data_.members->push_back({std::move(key), std::move(value)});
  return data_.members->back().value;
}

bool json::erase(std::string_view key) {
  if (!is_object()) return false;
  return std::erase_if(*data_.members, [&](const json_member& m) { return m.key == key; }) > 0;
}

void json::reserve(std::size_t size) {
  if (is_array()) data_.items->reserve(size);
  if (is_object()) data_.members->reserve(size);
}

std::string json::dump() const {
  std::string out;
  write(out);
  return out;
}

void json::append_to(std::string& out) const {
  const std::size_t before = out.size();
  try {
    write(out);
  } catch (...) {
    out.resize(before);
    throw;
  }
}

namespace {

void write_string(std::string& out, const std::string& text) {
  if (!append_quoted(out, text)) throw json_error("expected a string to be UTF-8, got other bytes");
}

// Writes `open`, each item with `write_item` and commas between them, `close`.
template <class Items, class WriteItem>
void write_list(std::string& out, char open, const Items& items, char close, WriteItem write_item) {
  out.push_back(open);
  bool first = true;
  for (const auto& item : items) {
    if (!first) out.push_back(',');
    first = false;
    write_item(item);
  }
  out.push_back(close);
}

}  // namespace

void json::write(std::string& out) const {
  switch (kind_) {
    case kind::null:
      out += "null";
      return;
    case kind::boolean:
      out += data_.boolean ? "true" : "false";
      return;
    case kind::integer:
      out += format(data_.integer).view();
      return;
    case kind::real:
      out += format(data_.real).view();
      return;
    case kind::big_number:
      out += *data_.text;
      return;
    case kind::string:
      return write_string(out, *data_.text);
    case kind::array:
      return write_list(out, '[', items(), ']', [&](const json& item) { item.write(out); });
    case kind::object:
      return write_list(out, '{', members(), '}', [&](const json_member& member) {
        write_string(out, member.key);
        out.push_back(':');
        member.value.write(out);
      });
  }
}

namespace {

// These stay out of equals(), whose frames are as many as the value is deep.
[[gnu::noinline]] bool same_decimal(const json& left, const json& right) {
  return read_decimal(left.number_text()) == read_decimal(right.number_text());
}

[[gnu::noinline]] bool same_sorted_members(
    std::span<const json_member> left, std::span<const json_member> right) {
  const member_order lefts = sorted_by_key(left), rights = sorted_by_key(right);
  for (std::size_t i = 0; i < lefts.size(); ++i)
    if (!same_key(lefts[i], rights[i]) || lefts[i]->value != rights[i]->value) return false;
  return true;
}

bool same_items(std::span<const json> left, std::span<const json> right) {
  if (left.size() != right.size()) return false;
  for (std::size_t i = 0; i < left.size(); ++i)
    if (left[i] != right[i]) return false;
  return true;
}

bool same_keys(std::span<const json_member> left, std::span<const json_member> right) {
  for (std::size_t i = 0; i < left.size(); ++i)
    if (left[i].key != right[i].key) return false;
  return true;
}

bool same_members(std::span<const json_member> left, std::span<const json_member> right) {
  if (left.size() != right.size()) return false;
  if (!same_keys(left, right)) return same_sorted_members(left, right);
  for (std::size_t i = 0; i < left.size(); ++i)
    if (left[i].value != right[i].value) return false;
  return true;
}

}  // namespace

bool json::equals(const json& other) const {
  if (kind_ != other.kind_) return is_number() && other.is_number() && same_decimal(*this, other);
  switch (kind_) {
    case kind::integer:
      return data_.integer == other.data_.integer;
    case kind::real:
      return data_.real == other.data_.real;
    case kind::big_number:
      return same_decimal(*this, other);
    case kind::boolean:
      return data_.boolean == other.data_.boolean;
    case kind::string:
      return *data_.text == *other.data_.text;
    case kind::array:
      return same_items(items(), other.items());
    case kind::object:
      return same_members(members(), other.members());
    default:
      return true;
  }
}

std::string json::excerpt() const {
  try {
    return shortened(dump(), 120);
  } catch (const json_error&) {
    return "a value with a string that is not UTF-8";
  }
}

void json::mismatch(std::string_view key, std::string_view expected) const {
  const std::string subject = key.data() == nullptr ? "a value" : quoted(key);
  throw json_error(
      "expected " + subject + " to be " + std::string(expected) + ", got " + excerpt());
}

bool json::bool_named(std::string_view key) const {
  if (!is_bool()) mismatch(key, "a bool");
  return data_.boolean;
}

std::int64_t json::int_named(std::string_view key) const {
  if (kind_ == kind::integer) return data_.integer;
  if (kind_ == kind::real)
    if (const auto whole = whole_number(data_.real)) return *whole;
  mismatch(key, kind_ == kind::big_number ? "an integer of 64 bits" : "an integer");
}

std::int64_t json::int_between(std::string_view key, std::int64_t low, std::int64_t high) const {
  const std::int64_t value = int_named(key);
  if (value < low || value > high)
    mismatch(key, "an integer from " + std::to_string(low) + " to " + std::to_string(high));
  return value;
}

std::uint64_t json::unsigned_named(std::string_view key) const {
  if (kind_ == kind::big_number) {
    std::uint64_t value = 0;
    const char* end = data_.text->data() + data_.text->size();
    if (std::from_chars(data_.text->data(), end, value) == std::from_chars_result{end, {}})
      return value;
  }
  const std::int64_t value = int_named(key);
  if (value < 0) mismatch(key, "an integer that is not negative");
  return static_cast<std::uint64_t>(value);
}

double json::double_named(std::string_view key) const {
  if (kind_ == kind::real) return data_.real;
  if (kind_ == kind::integer) return static_cast<double>(data_.integer);
  if (kind_ != kind::big_number) mismatch(key, "a number");
  double value = 0;
  const char* end = data_.text->data() + data_.text->size();
  if (std::from_chars(data_.text->data(), end, value).ec == std::errc()) return value;
  // from_chars does not say whether the number is too large or too close to zero.
  if (!is_tiny(read_decimal(*data_.text))) mismatch(key, "a number in the range of double");
  return data_.text->front() == '-' ? -0.0 : 0.0;
}

const std::string& json::string_named(std::string_view key) const {
  if (!is_string()) mismatch(key, "a string");
  return *data_.text;
}

}  // namespace roost
