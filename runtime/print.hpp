// runtime/print.hpp
//
// Values as readable text, for crash reports, traces and shells: `counter{value: 5}` for any
// aggregate, without a line of code by its author.
//
//   roost::to_text(counter{5})                          // counter{value: 5}
//   roost::to_text(std::vector{1, 2})                   // [1, 2]
//
// Numbers, texts, enumerations, pids, durations, optionals, pairs, variants, smart pointers and
// ranges print as one expects; a type with a `to_string(const T&)` of its own prints as that says;
// anything else prints as `#name`. At most 50 elements and 6 levels are printed. g++ knows the
// names of fields; other compilers print them by position. An aggregate with a C array in it needs
// a to_string.
//
// Thread safety: pure functions.
#pragma once
#include "runtime/exit_reason.hpp"
#include "runtime/pid.hpp"
#include <boost/pfr/core.hpp>
#include <chrono>
#include <concepts>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

namespace roost {

template <class T>
std::string to_text(const T& value);

namespace detail {

inline constexpr int print_depth = 6;
inline constexpr std::size_t print_elements = 50;

void print_text(std::string& out, std::string_view text);
void print_number(std::string& out, double value);
void print_milliseconds(std::string& out, std::chrono::nanoseconds value);

template <class T>
constexpr std::string_view find_type_name() {
  std::string_view text = __PRETTY_FUNCTION__;
  auto from = text.find("T = ") + 4;
  auto to = text.find_first_of(";]", from);
  return text.substr(from, to - from);
}
/// Found at compile time: calls and starts ask for names, and searching for one costs as much as a
/// send.
template <class T>
inline constexpr std::string_view found_type_name = find_type_name<T>();

/// The name of a type as the compiler prints it.
template <class T>
constexpr std::string_view type_name() {
  return found_type_name<T>;
}

/// "chat::room" → "room"; what stands in angle brackets stays out.
constexpr std::string_view unqualified(std::string_view name) {
  auto end = name.find('<');
  auto colon = name.substr(0, end).rfind("::");
  return colon == name.npos ? name.substr(0, end) : name.substr(colon + 2, end - colon - 2);
}

template <class T>
concept has_to_string = requires(const T& value) {
  { to_string(value) } -> std::convertible_to<std::string>;
};
template <class T>
concept printable_range = requires(const T& value) {
  value.begin() != value.end();
  *value.begin();
};
template <class T>
concept pointer_like = requires(const T& value) {
  static_cast<bool>(value);
  *value;
  value.get();
};
template <class T>
concept duration_like = requires(const T& value) {
  typename T::period;
  value.count();
};

// Boost.PFR takes apart aggregates without bases. This converts to nothing but a base.
template <class T>
struct any_base {
  template <class Base>
  requires(std::is_base_of_v<Base, T> && !std::same_as<Base, T>) operator Base() const;
};
template <class T>
concept plain_aggregate = std::is_aggregate_v<T> && !std::is_union_v<T> && !std::is_array_v<T> &&
                          std::is_class_v<T> && !requires {
  T{any_base<T>{}};
};

#if defined(__GNUC__) && !defined(__clang__)
// A pointer to a member of an object that does not exist names the member in the compiler's text.
template <class T>
struct nowhere { const T value; };
template <class T>
extern const nowhere<T> nowhere_of;
template <class T, std::size_t I>
consteval const auto* field_pointer() {
  return &boost::pfr::get<I>(nowhere_of<T>.value);
}
template <const auto* Field>
consteval std::string_view field_name() {
  std::string_view text = __PRETTY_FUNCTION__;
  auto end = text.find(");", text.find("Field = "));
  auto from = text.substr(0, end).rfind("::") + 2;
  return text.substr(from, end - from);
}
template <class T, std::size_t I>
inline constexpr std::string_view name_of_field = field_name<field_pointer<T, I>()>();
#else
template <class T, std::size_t I>
inline constexpr std::string_view name_of_field = {};
#endif

template <class T>
void print(std::string& out, const T& value, int depth);

template <class T>
void print_range(std::string& out, const T& range, int depth) {
  out += '[';
  std::size_t count = 0;
  for (auto& element : range) {
    if (count != 0) out += ", ";
    if (count++ == print_elements) {
      out += "…";
      break;
    }
    print(out, element, depth);
  }
  out += ']';
}

template <class T>
void print_aggregate(std::string& out, const T& value, int depth) {
  out += unqualified(type_name<T>());
  out += '{';
  [&]<std::size_t... I>(std::index_sequence<I...>) {
    [[maybe_unused]] auto one = [&](std::size_t i, std::string_view name, const auto& field) {
      if (i != 0) out += ", ";
      if (!name.empty()) out.append(name).append(": ");
      print(out, field, depth);
    };
    (one(I, name_of_field<T, I>, boost::pfr::get<I>(value)), ...);
  }
  (std::make_index_sequence<boost::pfr::tuple_size_v<T>>{});
  out += '}';
}

template <class T>
void print(std::string& out, const T& value, int depth) {
  if (depth >= print_depth) {
    out += "…";
  } else if constexpr (std::same_as<T, bool>) {
    out += value ? "true" : "false";
  } else if constexpr (std::same_as<T, char>) {
    print_text(out, std::string_view(&value, 1));
  } else if constexpr (std::integral<T>) {
    out += std::to_string(value);
  } else if constexpr (std::floating_point<T>) {
    print_number(out, static_cast<double>(value));
  } else if constexpr (std::is_enum_v<T>) {
    out += std::to_string(static_cast<std::underlying_type_t<T>>(value));
  } else if constexpr (std::convertible_to<const T&, std::string_view>) {
    print_text(out, value);
  } else if constexpr (std::same_as<T, exit_reason>) {
    out += value.to_string();
  } else if constexpr (has_to_string<T>) {
    out += to_string(value);
  } else if constexpr (duration_like<T>) {
    print_milliseconds(out, value);
  } else if constexpr (requires {
                         value.has_value();
                         *value;
                       }) {
    value.has_value() ? print(out, *value, depth) : void(out += "nullopt");
  } else if constexpr (requires { std::variant_size<T>::value; }) {
    if (value.valueless_by_exception())
      out += "valueless";
    else
      std::visit([&](auto& held) { print(out, held, depth); }, value);
  } else if constexpr (printable_range<T>) {
    print_range(out, value, depth + 1);
  } else if constexpr (pointer_like<T>) {
    value ? print(out, *value, depth + 1) : void(out += "nullptr");
  } else if constexpr (plain_aggregate<T>) {
    print_aggregate(out, value, depth + 1);
  } else if constexpr (requires { std::tuple_size<T>::value; }) {
    out += '{';
    std::apply(
        [&](auto&... parts) {
          std::size_t i = 0;
          ((out += i++ == 0 ? "" : ", ", print(out, parts, depth + 1)), ...);
        },
        value);
    out += '}';
  } else {
    out.append("#").append(unqualified(type_name<T>()));
  }
}

}  // namespace detail

template <class T>
std::string to_text(const T& value) {
  std::string out;
  detail::print(out, value, 0);
  return out;
}

}  // namespace roost
