// A JSON value to build, read and change: null, bool, number, string, array or object. Objects keep
// the order in which their keys came. Nothing valid is lost: a number that neither an int64 nor a
// double holds exactly (12345678901234567890, 1e400) keeps its text and is written as it came.
//
//   roost::json reply{{"user", "ann"}, {"tags", roost::json::array({"a", "b"})}};
//   reply["count"] = 2;
//   int count = reply.get<int>("count");
//   std::string room = reply.get_or("room", "lobby");
//   for (const auto& [key, value] : reply.members()) print(key, value.dump());
//
// Strings are UTF-8; dump() throws when one is not, since no client could read it. Objects are
// searched from front to back, which suits the handful of keys a message has; append() builds large
// ones without searching. A key that comes twice in parsed text has its last value. Wrong types and
// missing keys throw json_error. Distinct values may be used from distinct threads, and one value
// may be read by many threads as long as none changes it.
//
// Sources: RFC 8259 (JSON).
#pragma once
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace roost {

struct json_member;
struct parsed_json;

/// A value was not what the reader expected; what() says what was expected and what it got.
struct json_error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The integers that become JSON numbers: characters and bool do not.
template <class T>
concept json_integer = std::integral<T> && !std::same_as<T, bool> && !std::same_as<T, char> &&
                       !std::same_as<T, wchar_t> && !std::same_as<T, char8_t> &&
                       !std::same_as<T, char16_t> && !std::same_as<T, char32_t>;

template <class T>
concept json_text = std::convertible_to<const T&, std::string_view> &&
    !std::same_as<std::remove_cvref_t<T>, std::nullptr_t>;

class json {
 public:
  /// One `{"key", value}` of an initializer list.
  struct field;

  /// Levels of nesting that parse() takes when nothing else is said, and the most it ever takes:
  /// dump(), comparison and destruction recurse, and threads have only so much stack.
  static constexpr std::size_t default_depth = 1'024;
  static constexpr std::size_t depth_limit = 4'096;

  constexpr json() noexcept = default;  // null
  constexpr json(std::nullptr_t) noexcept {}
  template <std::same_as<bool> Bool>
  json(Bool value) noexcept : kind_(kind::boolean), data_{.boolean = value} {}
  template <json_integer Integer>
  json(Integer value) {
    if constexpr (std::unsigned_integral<Integer>)
      set_unsigned(value);
    else
      set_integer(value);
  }
  /// NaN and the infinities become null: JSON has no words for them.
  template <std::floating_point Float>
  json(Float value) noexcept {
    set_double(static_cast<double>(value));
  }
  json(const char* text) : json(std::string(text)) {}
  json(std::string_view text) : json(std::string(text)) {}
  json(std::string text);
  json(std::initializer_list<field> fields);  // an object

  static json array(std::initializer_list<json> items = {});
  static json object(std::initializer_list<field> fields = {});

  /// Reads one document. The text may come from anywhere: it is checked, UTF-8 too.
  static parsed_json parse(std::string_view text, std::size_t max_depth = default_depth);

  json(const json& other);
  json(json&& other) noexcept : kind_(std::exchange(other.kind_, kind::null)), data_(other.data_) {}
  json& operator=(json other) noexcept {
    swap(other);
    return *this;
  }
  ~json() {
    if (kind_ >= kind::big_number) destroy();
  }
  void swap(json& other) noexcept {
    std::swap(kind_, other.kind_);
    std::swap(data_, other.data_);
  }

  bool is_null() const noexcept { return kind_ == kind::null; }
  bool is_bool() const noexcept { return kind_ == kind::boolean; }
  bool is_number() const noexcept { return kind_ >= kind::integer && kind_ <= kind::big_number; }
  bool is_int() const noexcept;  // as_int() would answer: 2 and 2.0, not 2.5
  bool is_string() const noexcept { return kind_ == kind::string; }
  bool is_array() const noexcept { return kind_ == kind::array; }
  bool is_object() const noexcept { return kind_ == kind::object; }

  bool as_bool() const { return as<bool>(); }
  std::int64_t as_int() const { return as<std::int64_t>(); }
  double as_double() const { return as<double>(); }
  const std::string& as_string() const;

  /// The value as bool, an integer type (range checked), float, double, std::string,
  /// std::string_view (into this value) or json.
  template <class T>
  T as() const {
    return as_named<T>({});
  }

  /// A number as JSON text: `7`, `1.5`, `1e400`.
  std::string number_text() const;

  /// Elements of an array, members of an object; 0 for everything else.
  std::size_t size() const noexcept;
  bool empty() const noexcept { return size() == 0; }

  /// Null when there is no such key, or this is not an object.
  const json& operator[](std::string_view key) const noexcept;
  /// Adds the key with null when it is missing; a null value becomes an object first.
  json& operator[](std::string_view key);
  const json& operator[](std::size_t index) const noexcept;  // null past the end
  json& operator[](std::size_t index) { return at(index); }

  const json& at(std::string_view key) const;
  json& at(std::string_view key) { return const_cast<json&>(std::as_const(*this).at(key)); }
  const json& at(std::size_t index) const;
  json& at(std::size_t index) { return const_cast<json&>(std::as_const(*this).at(index)); }

  const json* find(std::string_view key) const noexcept;  // nullptr when missing
  json* find(std::string_view key) noexcept {
    return const_cast<json*>(std::as_const(*this).find(key));
  }
  bool contains(std::string_view key) const noexcept { return find(key) != nullptr; }

  /// The member's value as T; throws when it is missing or of another type.
  template <class T>
  T get(std::string_view key) const {
    return at(key).template as_named<T>(key);
  }
  /// The same, but `fallback` when the key is missing or null. A wrong type still throws.
  template <class T>
  auto get_or(std::string_view key, T fallback) const {
    using result = std::conditional_t<std::is_same_v<T, const char*>, std::string, T>;
    const json* value = find(key);
    if (value == nullptr || value->is_null()) return result(std::move(fallback));
    return value->template as_named<result>(key);
  }

  /// Adds to an array; a null value becomes an array first.
  void push_back(json value);
  /// Adds a member without looking for the key, which must be new; null becomes an object first.
  json& append(std::string key, json value);
  bool erase(std::string_view key);  // false when there was none
  void reserve(std::size_t size);    // for arrays and objects

  /// The elements of an array and the members of an object, in order; empty for everything else.
  std::span<const json> items() const noexcept;
  std::span<json> items() noexcept;
  std::span<const json_member> members() const noexcept;
  std::span<json_member> members() noexcept;

  /// The value as compact JSON text. Throws, leaving `out` as it was, on a string not in UTF-8.
  std::string dump() const;
  void append_to(std::string& out) const;

  /// Numbers are equal when their decimal values are (1 and 1.0); the order of keys is irrelevant.
  friend bool operator==(const json& left, const json& right) { return left.equals(right); }
  template <json_text Text>
  friend bool operator==(const json& left, const Text& right) {
    return left.is_string() && std::string_view(*left.data_.text) == std::string_view(right);
  }

 private:
  friend class json_builder;
  // The kinds from big_number on own memory.
  enum class kind : std::uint8_t {
    null,
    boolean,
    integer,
    real,
    big_number,
    string,
    array,
    object
  };
  union data {
    bool boolean;
    std::int64_t integer = 0;
    double real;
    std::string* text;
    std::vector<json>* items;
    std::vector<json_member>* members;
  };

  template <class T>
  T as_named(std::string_view key) const {
    if constexpr (std::is_same_v<T, json>)
      return *this;
    else if constexpr (std::is_same_v<T, bool>)
      return bool_named(key);
    else if constexpr (std::is_same_v<T, std::uint64_t>)
      return unsigned_named(key);
    else if constexpr (json_integer<T>)
      return narrowed<T>(key);
    else if constexpr (std::is_floating_point_v<T>)
      return static_cast<T>(double_named(key));
    else if constexpr (std::is_same_v<T, std::string> || std::is_same_v<T, std::string_view>)
      return T(string_named(key));
    else
      static_assert(
          !sizeof(T*),
          "json gives bool, integers, float, double, std::string, "
          "std::string_view or json; read other types member by member");
  }
  template <json_integer Integer>
  Integer narrowed(std::string_view key) const {
    if constexpr (sizeof(Integer) == 8) {
      if constexpr (std::unsigned_integral<Integer>)
        return unsigned_named(key);
      else
        return int_named(key);
    } else {
      using limits = std::numeric_limits<Integer>;
      return static_cast<Integer>(int_between(key, limits::min(), limits::max()));
    }
  }

  void set_integer(std::int64_t value) noexcept;
  void set_unsigned(std::uint64_t value);
  void set_double(double value) noexcept;
  void become_array();
  void become_object();
  void destroy() noexcept;
  bool equals(const json& other) const;
  void write(std::string& out) const;
  std::string excerpt() const;
  [[noreturn]] void mismatch(std::string_view key, std::string_view expected) const;
  bool bool_named(std::string_view key) const;
  std::int64_t int_named(std::string_view key) const;
  std::int64_t int_between(std::string_view key, std::int64_t low, std::int64_t high) const;
  std::uint64_t unsigned_named(std::string_view key) const;
  double double_named(std::string_view key) const;
  const std::string& string_named(std::string_view key) const;

  kind kind_ = kind::null;
  data data_;
};

/// A key of an object and its value.
struct json_member {
  std::string key;
  json value;
};

struct json::field {
  field(std::string_view key_text, json field_value)
      : key(key_text), value(std::move(field_value)) {}
  std::string_view key;
  mutable json value;  // an initializer list is const; mutable lets the value be moved out of it
};

/// What json::parse() gives: a value, or where and why the text is not JSON.
struct parsed_json {
  std::optional<json> value;
  std::string_view error;  // "expected , or ]", empty when there is a value
  std::size_t offset = 0;  // of the error, in bytes from the start of the text

  explicit operator bool() const noexcept { return value.has_value(); }
  json& operator*() { return *value; }
  json* operator->() { return &*value; }
};

}  // namespace roost
