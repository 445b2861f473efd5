// runtime/shape.hpp
//
// What a type that can travel between nodes is made of, as data: so that a shell can make a message
// out of what somebody types, and show what comes back, without knowing the type.
//
//   const roost::detail::shape& what = roost::detail::shape_of<posted>;
//   what.name                        // "posted"
//   what.parts()[0].name             // "author"
//   what.parts()[0].what->kind       // shape_kind::text
//
// Users have no need of this header; message.hpp includes it. A shape describes the bytes of
// codec.hpp. Types that say themselves how they travel are `opaque`. Shapes are constants; a
// recursive type has a recursive one.
//
// Thread safety: constants.
#pragma once
#include "runtime/codec.hpp"
#include <span>

namespace roost::detail {

enum class shape_kind : std::uint8_t {
  opaque,
  boolean,
  integer,  // enumerations too
  real,
  text,
  bytes,
  process,
  ref,
  unit,
  optional,  // one part; pointers too
  variant,   // a part for each alternative
  tuple,
  duration,  // one part, the count
  time,      // one part, the duration since 1970
  list,      // one part, the element; of a map a pair
  aggregate,
};

struct shape;

struct shape_part {
  std::string_view name;  // of a field; empty where names are not known
  const shape* what;
};

struct shape {
  shape_kind kind = shape_kind::opaque;
  bool is_signed = false;  // integer
  std::uint8_t size = 0;   // integer, real: bytes
  std::string_view name = {};
  const shape_part* first = nullptr;
  std::size_t count = 0;
  std::size_t fixed = 0;         // list: it has always so many elements; 0: any number
  std::int64_t nanoseconds = 0;  // duration: those of one count, if they are a whole number
  std::int64_t per_second = 0;   // … else how many counts a second has

  std::span<const shape_part> parts() const noexcept { return {first, count}; }
};

template <class T>
consteval shape make_shape();

template <class T>
inline constexpr shape shape_of = make_shape<T>();

template <class... Ts>
struct shape_parts {
  static constexpr shape_part list[sizeof...(Ts) + 1] = {{{}, &shape_of<Ts>}..., {{}, nullptr}};
};

template <class T, class I>
struct shape_fields;
template <class T, std::size_t... I>
struct shape_fields<T, std::index_sequence<I...>> {
  static constexpr shape_part list[sizeof...(I) + 1] = {
      {name_of_field<T, I>, &shape_of<std::remove_const_t<wire_field<T, I>>>}..., {{}, nullptr}};
};

template <class... Ts>
consteval shape with_parts(shape result, wire_types<Ts...>) {
  result.first = shape_parts<Ts...>::list;
  result.count = sizeof...(Ts);
  return result;
}

template <class T>
consteval shape make_shape() {
  shape result;
  result.name = type_name<T>();
  constexpr auto kind = codec_kind_of<T>;
  if constexpr (kind == codec_kind::boolean) {
    result.kind = shape_kind::boolean;
  } else if constexpr (kind == codec_kind::enumeration) {
    result = make_shape<std::underlying_type_t<T>>();
    result.name = type_name<T>();
  } else if constexpr (kind == codec_kind::integer || kind == codec_kind::real) {
    result.kind = kind == codec_kind::integer ? shape_kind::integer : shape_kind::real;
    result.is_signed = std::is_signed_v<T>;
    result.size = sizeof(T);
  } else if constexpr (kind == codec_kind::text || kind == codec_kind::view) {
    result.kind = shape_kind::text;
  } else if constexpr (kind == codec_kind::process) {
    result.kind = shape_kind::process;
  } else if constexpr (kind == codec_kind::ref) {
    result.kind = shape_kind::ref;
  } else if constexpr (kind == codec_kind::unit) {
    result.kind = shape_kind::unit;
  } else if constexpr (kind == codec_kind::optional || kind == codec_kind::pointer) {
    result.kind = shape_kind::optional;
    result = with_parts(result, typename wire_standard<T>::parts{});
  } else if constexpr (kind == codec_kind::variant) {
    result.kind = shape_kind::variant;
    result = with_parts(result, typename wire_standard<T>::parts{});
  } else if constexpr (kind == codec_kind::tuple) {
    result.kind = shape_kind::tuple;
    result = with_parts(result, typename wire_standard<T>::parts{});
  } else if constexpr (kind == codec_kind::duration) {
    result.kind = shape_kind::duration;
    result = with_parts(result, typename wire_standard<T>::parts{});
    using in_nanoseconds = std::ratio_divide<typename T::period, std::nano>;
    result.nanoseconds = in_nanoseconds::den == 1 ? in_nanoseconds::num : 0;
    result.per_second = T::period::den / T::period::num;
  } else if constexpr (kind == codec_kind::time) {
    result.kind = shape_kind::time;
    result = with_parts(result, typename wire_standard<T>::parts{});
  } else if constexpr (kind == codec_kind::list) {
    if constexpr (wire_bytes<T>) {
      result.kind = shape_kind::bytes;
    } else {
      result.kind = shape_kind::list;
      result = with_parts(result, wire_types<wire_element<T>>{});
    }
    if constexpr (wire_array<T>) result.fixed = std::tuple_size_v<T>;
  } else if constexpr (kind == codec_kind::aggregate) {
    if constexpr (has_plain_fields<T>()) {
      result.kind = shape_kind::aggregate;
      result.count = boost::pfr::tuple_size_v<T>;
      result.first = shape_fields<T, std::make_index_sequence<boost::pfr::tuple_size_v<T>>>::list;
    }
  }
  return result;
}

/// The shape of a type that can be encoded; null for others.
template <class T>
consteval const shape* find_shape() {
  if constexpr (is_encodable<T>)
    return &shape_of<T>;
  else
    return nullptr;
}

// --- the state of a server -----------------------------------------------------------------------

/// One field of a state, as bytes.
struct state_field {
  std::string_view name;
  const shape* what = nullptr;  // null: it can be shown as text only
  void (*encode)(const void* state, wire_writer& out) = nullptr;
  void (*decode)(void* state, wire_reader& in) =
      nullptr;  // throws decode_error, and changes nothing
};

template <class S, class I>
struct state_field_list;
template <class S, std::size_t... I>
struct state_field_list<S, std::index_sequence<I...>> {
  template <std::size_t At>
  static constexpr state_field field() {
    using T = wire_field<S, At>;
    state_field result{.name = name_of_field<S, At>};
    if constexpr (is_encodable<T>) {
      result.what = &shape_of<std::remove_const_t<T>>;
      result.encode = [](const void* state, wire_writer& out) {
        detail::encode(out, boost::pfr::get<At>(*static_cast<const S*>(state)));
      };
    }
    if constexpr (
        is_decodable<T> && std::is_default_constructible_v<T> && std::is_move_assignable_v<T>)
      result.decode = [](void* state, wire_reader& in) {
        T value{};
        detail::decode(in, value);
        in.finish();
        boost::pfr::get<At>(*static_cast<S*>(state)) = std::move(value);
      };
    return result;
  }
  static constexpr state_field list[sizeof...(I) + 1] = {field<I>()..., {}};
};

/// The fields of a state that is an aggregate; none of any other.
template <class S>
constexpr std::span<const state_field> state_fields_of() {
  if constexpr (plain_aggregate<S>) {
    if constexpr (has_plain_fields<S>()) {
      constexpr auto count = boost::pfr::tuple_size_v<S>;
      return {state_field_list<S, std::make_index_sequence<count>>::list, count};
    }
  }
  return {};
}

}  // namespace roost::detail
