// runtime/codec.hpp
//
// How values travel between nodes. Messages are plain structs, and nothing is written by hand: the
// fields of an aggregate are encoded in their order, together with how many there are and how many
// bytes they take. So a newer version of a program may append fields: an older one skips them, and
// a newer one leaves what did not come at its default member initialisers.
//
//   struct posted {
//     std::string author;
//     std::vector<std::string> lines;
//     std::optional<int> colour;      // appended in a later version
//   };
//
// Numbers, texts, enumerations, containers, std::optional, variant, pair, tuple, unique_ptr and
// shared_ptr, durations and points of the system clock, pids, references, exit reasons, handles of
// servers and `from` can be encoded, and so can aggregates of these without bases and C arrays,
// recursive ones included (64 structs deep). Any other type, and one with bit fields, says how in
// its own namespace:
//
//   void wire_encode(roost::detail::wire_writer& out, const money& value);
//   void wire_decode(roost::detail::wire_reader& in, money& value);
//
// Nodes know a type by its name as the compiler prints it. A message that was renamed, that two
// files have in anonymous namespaces, or that programs of other compilers send, is given one by a
// line in its struct:
//
//   static constexpr std::string_view wire_name = "chat.posted";
//
// The format is a contract between versions. Every value takes at least one byte.
//
//   varint        7 bits per byte, lowest first; all bytes but the last have their top bit set
//   bool          0 or 1
//   integers      of one byte: as they are; else varint, signed ones as (n << 1) ^ (n >> 63)
//   float, double 4 or 8 bytes, little-endian IEEE 754
//   enumerations  as their underlying type
//   text          varint of its size, then its bytes
//   containers    varint of their size, then their elements; maps as pairs
//   optional      0, or 1 and the value; so do unique_ptr and shared_ptr
//   variant       varint of its index, then the value
//   pair, tuple   the values; monostate and the empty tuple: 0
//   duration      its count; a time_point as the duration since 1970
//   aggregate     varint of its number of fields; unless that is 0, varint of their bytes; fields.
//                 The value of a message has no second number: it ends with the message
//   pid           a byte: 0 a process of the sender, 1 of the receiver, 2 of a third node (its name
//                 as text and its incarnation in 8 bytes, little-endian, follow), 3 nobody; 4 more
//                 for a name. Then the id as varint, or the name as text
//   reference     as a pid without a name, with its count instead of the id
//   exit_reason   a byte for its code, then a list of texts
//   server        as a pid; from: pid and reference
//
// What is malformed throws decode_error and costs at most a few hundred bytes of memory for each
// byte that came.
//
// Thread safety: pure functions.
#pragma once
#include "runtime/print.hpp"
#include "runtime/wire.hpp"
#include <atomic>
#include <bit>

namespace roost::detail {

inline constexpr std::size_t max_fields = 100;  // of one struct

// --- what can be encoded -------------------------------------------------------------------------

template <class... Ts>
struct wire_types {};

enum class codec_kind {
  none,
  boolean,
  integer,
  real,
  enumeration,
  text,
  view,
  process,
  ref,
  unit,
  hooks,
  optional,
  variant,
  tuple,
  duration,
  time,
  pointer,
  list,
  aggregate,
};

/// The templates of the standard library that are known by name.
template <class T>
struct wire_standard { static constexpr auto kind = codec_kind::none; };
template <class T>
struct wire_standard<std::optional<T>> {
  static constexpr auto kind = codec_kind::optional;
  using parts = wire_types<T>;
};
template <class... Ts>
struct wire_standard<std::variant<Ts...>> {
  static constexpr auto kind = codec_kind::variant;
  using parts = wire_types<Ts...>;
};
template <class A, class B>
struct wire_standard<std::pair<A, B>> {
  static constexpr auto kind = codec_kind::tuple;
  using parts = wire_types<A, B>;
};
template <class... Ts>
struct wire_standard<std::tuple<Ts...>> {
  static constexpr auto kind = codec_kind::tuple;
  using parts = wire_types<Ts...>;
};
template <>
struct wire_standard<std::tuple<>> {
  static constexpr auto kind = codec_kind::unit;
};
template <>
struct wire_standard<std::monostate> {
  static constexpr auto kind = codec_kind::unit;
};
template <class Rep, class Period>
struct wire_standard<std::chrono::duration<Rep, Period>> {
  static constexpr auto kind = codec_kind::duration;
  using parts = wire_types<Rep>;
};
template <class Duration>
struct wire_standard<std::chrono::time_point<std::chrono::system_clock, Duration>> {
  static constexpr auto kind = codec_kind::time;
  using parts = wire_types<Duration>;
};
template <class T>
struct wire_standard<std::unique_ptr<T>> {
  static constexpr auto kind = codec_kind::pointer;
  using parts = wire_types<std::remove_const_t<T>>;
};
template <class T>
struct wire_standard<std::shared_ptr<T>> {
  static constexpr auto kind = codec_kind::pointer;
  using parts = wire_types<std::remove_const_t<T>>;
};

template <class T>
concept wire_encode_hook = requires(wire_writer& out, const T& value) {
  wire_encode(out, value);
};
template <class T>
concept wire_decode_hook = requires(wire_reader& in, T& value) {
  wire_decode(in, value);
};

/// The elements of a container as they are decoded: those of a map have a constant key.
template <class T>
struct wire_element_of { using type = T; };
template <class K, class V>
struct wire_element_of<std::pair<const K, V>> {
  using type = std::pair<K, V>;
};
template <class T>
using wire_element = typename wire_element_of<typename T::value_type>::type;

template <class T>
concept wire_array = requires {
  std::tuple_size<T>::value;
};
template <class T>
concept wire_list = requires(T& list, typename T::value_type value) {
  list.begin() != list.end();
  list.size();
  requires !std::same_as<T, typename T::value_type>;
  requires wire_array<T> || requires { list.push_back(std::move(value)); } || requires {
    list.insert(list.end(), std::move(value));
  };
};

template <class T>
consteval codec_kind find_codec_kind() {
  if constexpr (!std::is_object_v<T> || std::is_array_v<T> || std::is_pointer_v<T>)
    return codec_kind::none;
  else if constexpr (!requires { sizeof(T); })
    return codec_kind::none;
  else if constexpr (std::same_as<T, bool>)
    return codec_kind::boolean;
  else if constexpr (std::integral<T>)
    return sizeof(T) <= 8 ? codec_kind::integer : codec_kind::none;
  else if constexpr (std::same_as<T, float> || std::same_as<T, double>)
    return codec_kind::real;
  else if constexpr (!std::is_class_v<T> && !std::is_enum_v<T>)
    return codec_kind::none;
  else if constexpr (std::same_as<T, std::string>)
    return codec_kind::text;
  else if constexpr (std::same_as<T, std::string_view>)
    return codec_kind::view;
  else if constexpr (std::same_as<T, pid>)
    return codec_kind::process;
  else if constexpr (std::same_as<T, reference>)
    return codec_kind::ref;
  else if constexpr (wire_standard<T>::kind != codec_kind::none)
    return wire_standard<T>::kind;
  else if constexpr (wire_encode_hook<T> || wire_decode_hook<T>)
    return codec_kind::hooks;
  else if constexpr (std::is_enum_v<T>)
    return codec_kind::enumeration;
  else if constexpr (wire_list<T>)
    return codec_kind::list;
  else if constexpr (plain_aggregate<T>)
    return codec_kind::aggregate;
  else
    return codec_kind::none;
}
template <class T>
inline constexpr codec_kind codec_kind_of = find_codec_kind<T>();

// Converts to whatever a field needs, as an lvalue or, for types that only move, as a value.
struct any_lvalue {
  template <class T>
  operator T&() const noexcept;
};
struct any_value {
  template <class T>
  operator T() const noexcept;
};

template <class T>
using any_field = std::conditional_t<std::is_copy_constructible_v<T>, any_lvalue, any_value>;

template <class T, std::size_t... I>
consteval bool takes_values(std::index_sequence<I...>) {
  return requires { T{(void(I), any_field<T>{})...}; };
}
/// With how many values an aggregate can be made: as many as it has fields, but for C arrays.
template <class T, std::size_t N = 0>
consteval std::size_t count_values() {
  if constexpr (N <= max_fields && takes_values<T>(std::make_index_sequence<N + 1>{}))
    return count_values<T, N + 1>();
  else
    return N;
}

// A C array takes the values in braces of its own as the values without: then too many follow.
template <class T, std::size_t... Before, std::size_t... After>
consteval bool is_array_at(std::index_sequence<Before...>, std::index_sequence<After...>) {
  using any = any_field<T>;
  if constexpr (requires { T{(void(Before), any{})..., {any{}, any{}}}; }) return !requires {
      T{(void(Before), any{})..., {any{}, any{}}, (void(After), any{})...};
    };
  else
    return false;
}
template <class T, std::size_t... I>
consteval bool has_array(std::index_sequence<I...>) {
  return (
      is_array_at<T>(
          std::make_index_sequence<I>{}, std::make_index_sequence<sizeof...(I) - I - 1>{}) ||
      ...);
}
/// A field that takes no value but can be empty, such as a mutex.
template <class T, std::size_t... I>
consteval bool has_more_fields(std::index_sequence<I...>) {
  return requires { T{(void(I), any_field<T>{})..., {}}; };
}
/// Whether Boost.PFR can take it apart: it counts the fields by the values that they take, so it
/// stumbles over C arrays and over fields that take none.
template <class T>
consteval bool has_plain_fields() {
  if constexpr (!takes_values<T>(std::make_index_sequence<0>{})) {
    return false;
  } else if constexpr (constexpr auto count = count_values<T>(); count > max_fields) {
    return false;
  } else {
    constexpr auto all = std::make_index_sequence<count>{};
    return !has_more_fields<T>(all) && !has_array<T>(all);
  }
}

template <class T, std::size_t I>
using wire_field = std::remove_reference_t<decltype(boost::pfr::get<I>(std::declval<T&>()))>;

inline constexpr unsigned can_encode = 1;
inline constexpr unsigned can_decode = 2;

template <class T, class... Outer>
consteval unsigned wire_ability_in();

template <class T, class... Outer>
consteval unsigned ability_of_field() {
  constexpr auto kind = codec_kind_of<std::remove_const_t<T>>;
  constexpr unsigned mask = std::is_const_v<T> ? can_encode : can_encode | can_decode;
  if constexpr (kind == codec_kind::none)
    return 0;
  else if constexpr (kind == codec_kind::view)
    return can_encode;
  else if constexpr (kind < codec_kind::hooks)
    return mask;
  else
    return mask & wire_ability_in<std::remove_const_t<T>, Outer...>();
}
/// Of a value that has to be made while it is decoded.
template <class T, class... Outer>
consteval unsigned ability_of_part() {
  constexpr auto ability = ability_of_field<T, Outer...>();
  if constexpr (ability == (can_encode | can_decode))
    return std::is_default_constructible_v<T> ? ability : can_encode;
  else
    return ability;
}
template <class... Outer, class... Parts>
consteval unsigned ability_of_parts(wire_types<Parts...>) {
  return (ability_of_part<Parts, Outer...>() & ... & (can_encode | can_decode));
}
template <class T, class... Outer>
consteval unsigned ability_of_aggregate() {
  if constexpr (!has_plain_fields<T>())
    return 0;
  else
    return []<std::size_t... I>(std::index_sequence<I...>) {
      return (ability_of_field<wire_field<T, I>, Outer..., T>() & ... & (can_encode | can_decode));
    }
  (std::make_index_sequence<boost::pfr::tuple_size_v<T>>{});
}

/// Bits of can_encode and can_decode. `Outer` are the aggregates that this type lies in.
template <class T, class... Outer>
consteval unsigned wire_ability_in() {
  constexpr auto kind = codec_kind_of<T>;
  if constexpr (kind == codec_kind::hooks)
    return (wire_encode_hook<T> ? can_encode : 0) | (wire_decode_hook<T> ? can_decode : 0);
  else if constexpr (kind == codec_kind::list)
    return ability_of_parts<Outer...>(wire_types<wire_element<T>>{});
  else if constexpr (kind != codec_kind::aggregate)
    return ability_of_parts<Outer...>(typename wire_standard<T>::parts{});
  else if constexpr ((std::same_as<T, Outer> || ...))
    return can_encode | can_decode;  // recursive: the others decide
  else
    return ability_of_aggregate<T, Outer...>();
}

template <class T>
inline constexpr unsigned wire_ability = ability_of_field<T>();
template <class T>
inline constexpr bool is_encodable = (wire_ability<T> & can_encode) != 0;
template <class T>
inline constexpr bool is_decodable = (wire_ability<T> & can_decode) != 0;

// --- encoding ------------------------------------------------------------------------------------

template <class T>
void encode(wire_writer& out, const T& value);

/// Whether the elements are bytes that can be copied as one block.
template <class T>
concept wire_bytes = requires(T& list) {
  list.data();
  requires sizeof(typename T::value_type) == 1;
  requires codec_kind_of<typename T::value_type>
  == codec_kind::integer || std::same_as<typename T::value_type, std::byte>;
};

template <class T>
void encode_list(wire_writer& out, const T& list) {
  if constexpr (wire_bytes<T>) {
    out.text({reinterpret_cast<const char*>(list.data()), list.size()});
  } else {
    out.varint(list.size());
    for (const auto& element : list)
      detail::encode(out, static_cast<const typename T::value_type&>(element));
  }
}

[[noreturn]] void throw_valueless();

template <class... Ts>
void encode_variant(wire_writer& out, const std::variant<Ts...>& value) {
  if (value.valueless_by_exception()) throw_valueless();
  out.varint(value.index());
  [&]<std::size_t... I>(std::index_sequence<I...>) {
    (void)((I == value.index() && (detail::encode(out, *std::get_if<I>(&value)), true)) || ...);
  }
  (std::index_sequence_for<Ts...>{});
}

template <class T>
void encode_fields(wire_writer& out, const T& value) {
  out.enter();
  [&]<std::size_t... I>(std::index_sequence<I...>) {
    (detail::encode(out, boost::pfr::get<I>(value)), ...);
  }
  (std::make_index_sequence<boost::pfr::tuple_size_v<T>>{});
  out.leave();
}

template <class T>
void encode_aggregate(wire_writer& out, const T& value) {
  constexpr auto count = boost::pfr::tuple_size_v<T>;
  out.varint(count);
  if constexpr (count != 0) {
    auto start = out.begin_sized();
    detail::encode_fields(out, value);
    out.end_sized(start);
  }
}

template <class T>
void encode(wire_writer& out, const T& value) {
  constexpr auto kind = codec_kind_of<T>;
  if constexpr (kind == codec_kind::boolean) {
    out.byte(value ? 1 : 0);
  } else if constexpr (kind == codec_kind::integer) {
    if constexpr (sizeof(T) == 1)
      out.byte(static_cast<std::uint8_t>(value));
    else if constexpr (std::is_signed_v<T>)
      out.signed_varint(value);
    else
      out.varint(value);
  } else if constexpr (kind == codec_kind::real) {
    if constexpr (sizeof(T) == 4)
      out.fixed32(std::bit_cast<std::uint32_t>(value));
    else
      out.fixed64(std::bit_cast<std::uint64_t>(value));
  } else if constexpr (kind == codec_kind::enumeration) {
    detail::encode(out, static_cast<std::underlying_type_t<T>>(value));
  } else if constexpr (kind == codec_kind::text || kind == codec_kind::view) {
    out.text(value);
  } else if constexpr (kind == codec_kind::process) {
    out.pid(value);
  } else if constexpr (kind == codec_kind::ref) {
    out.ref(value);
  } else if constexpr (kind == codec_kind::unit) {
    out.byte(0);
  } else if constexpr (kind == codec_kind::hooks) {
    wire_encode(out, value);
  } else if constexpr (kind == codec_kind::optional || kind == codec_kind::pointer) {
    out.byte(value ? 1 : 0);
    if (value) detail::encode(out, *value);
  } else if constexpr (kind == codec_kind::variant) {
    detail::encode_variant(out, value);
  } else if constexpr (kind == codec_kind::tuple) {
    std::apply([&](const auto&... parts) { (detail::encode(out, parts), ...); }, value);
  } else if constexpr (kind == codec_kind::duration) {
    detail::encode(out, value.count());
  } else if constexpr (kind == codec_kind::time) {
    detail::encode(out, value.time_since_epoch());
  } else if constexpr (kind == codec_kind::list) {
    detail::encode_list(out, value);
  } else {
    static_assert(kind == codec_kind::aggregate, "values of this type cannot be encoded");
    detail::encode_aggregate(out, value);
  }
}

/// The value of a message.
template <class T>
void encode_root(wire_writer& out, const T& value) {
  if constexpr (codec_kind_of<T> == codec_kind::aggregate) {
    out.varint(boost::pfr::tuple_size_v<T>);
    detail::encode_fields(out, value);
  } else {
    detail::encode(out, value);
  }
}

// --- decoding ------------------------------------------------------------------------------------

template <class T>
void decode(wire_reader& in, T& value);

template <class T>
void decode_integer(wire_reader& in, T& value) {
  if constexpr (sizeof(T) == 1) {
    value = static_cast<T>(in.byte());
  } else if constexpr (std::is_signed_v<T>) {
    auto wide = in.signed_varint();
    value = static_cast<T>(wide);
    if (value != wide)
      in.throw_expected("an integer to fit its type", static_cast<std::uint64_t>(wide));
  } else {
    auto wide = in.varint();
    value = static_cast<T>(wide);
    if (value != wide) in.throw_expected("an integer to fit its type", wide);
  }
}

template <class T>
void decode_array(wire_reader& in, T& array) {
  auto count = in.varint();
  if (count != array.size()) in.throw_expected("as many elements as the array has", count);
  for (auto& element : array) detail::decode(in, element);
}

template <class T>
void decode_list(wire_reader& in, T& list) {
  using element_type = wire_element<T>;
  list.clear();
  if constexpr (wire_bytes<T> && requires { list.assign(list.data(), list.data()); }) {
    auto bytes = in.text();
    auto* first = reinterpret_cast<const element_type*>(bytes.data());
    list.assign(first, first + bytes.size());
  } else {
    auto count = in.count(sizeof(element_type));
    if constexpr (requires { list.reserve(count); })
      list.reserve(in.likely(count, sizeof(element_type)));
    for (; count != 0; --count) {
      if constexpr (requires {
                      { list.emplace_back() } -> std::same_as<element_type&>;
                    }) {
        detail::decode(in, list.emplace_back());
      } else {
        element_type element{};
        detail::decode(in, element);
        if constexpr (requires { list.push_back(std::move(element)); })
          list.push_back(std::move(element));
        else
          list.insert(list.end(), std::move(element));
      }
    }
  }
}

template <class... Ts>
void decode_variant(wire_reader& in, std::variant<Ts...>& value) {
  auto index = in.varint();
  if (index >= sizeof...(Ts)) in.throw_expected("an alternative that the variant has", index);
  [&]<std::size_t... I>(std::index_sequence<I...>) {
    (void)((I == index && (detail::decode(in, value.template emplace<I>()), true)) || ...);
  }
  (std::index_sequence_for<Ts...>{});
}

template <class T>
auto make_pointer(std::unique_ptr<T>&) {
  return std::make_unique<std::remove_const_t<T>>();
}
template <class T>
auto make_pointer(std::shared_ptr<T>&) {
  return std::make_shared<std::remove_const_t<T>>();
}
template <class T>
void decode_pointer(wire_reader& in, T& pointer) {
  if (!in.boolean()) return pointer.reset();
  in.charge(sizeof(typename T::element_type));
  auto fresh = detail::make_pointer(pointer);
  detail::decode(in, *fresh);
  pointer = std::move(fresh);
}

/// As many of the fields as were sent.
template <class T>
void decode_fields(wire_reader& in, T& value, std::uint64_t count) {
  in.enter();
  [&]<std::size_t... I>(std::index_sequence<I...>) {
    (void)((I < count && (detail::decode(in, boost::pfr::get<I>(value)), true)) && ...);
  }
  (std::make_index_sequence<boost::pfr::tuple_size_v<T>>{});
  in.leave();
}

template <class T>
void decode_aggregate(wire_reader& in, T& value) {
  auto count = in.varint();
  if (count == 0) return;
  auto* outer_end = in.begin_sized();
  detail::decode_fields(in, value, count);
  in.end_sized(outer_end, count > boost::pfr::tuple_size_v<T>);
}

template <class T>
void decode(wire_reader& in, T& value) {
  constexpr auto kind = codec_kind_of<T>;
  if constexpr (kind == codec_kind::boolean) {
    value = in.boolean();
  } else if constexpr (kind == codec_kind::integer) {
    detail::decode_integer(in, value);
  } else if constexpr (kind == codec_kind::real) {
    if constexpr (sizeof(T) == 4)
      value = std::bit_cast<T>(in.fixed32());
    else
      value = std::bit_cast<T>(in.fixed64());
  } else if constexpr (kind == codec_kind::enumeration) {
    std::underlying_type_t<T> number{};
    detail::decode(in, number);
    value = static_cast<T>(number);
  } else if constexpr (kind == codec_kind::text) {
    value = in.text();
  } else if constexpr (kind == codec_kind::process) {
    value = in.pid();
  } else if constexpr (kind == codec_kind::ref) {
    value = in.ref();
  } else if constexpr (kind == codec_kind::unit) {
    if (auto byte = in.byte(); byte != 0) in.throw_expected("an empty value to be 0", byte);
  } else if constexpr (kind == codec_kind::hooks) {
    wire_decode(in, value);
  } else if constexpr (kind == codec_kind::optional) {
    if (in.boolean())
      detail::decode(in, value.emplace());
    else
      value.reset();
  } else if constexpr (kind == codec_kind::pointer) {
    detail::decode_pointer(in, value);
  } else if constexpr (kind == codec_kind::variant) {
    detail::decode_variant(in, value);
  } else if constexpr (kind == codec_kind::tuple) {
    std::apply([&](auto&... parts) { (detail::decode(in, parts), ...); }, value);
  } else if constexpr (kind == codec_kind::duration) {
    typename T::rep count{};
    detail::decode(in, count);
    value = T(count);
  } else if constexpr (kind == codec_kind::time) {
    typename T::duration since{};
    detail::decode(in, since);
    value = T(since);
  } else if constexpr (kind == codec_kind::list) {
    if constexpr (wire_array<T>)
      detail::decode_array(in, value);
    else
      detail::decode_list(in, value);
  } else {
    static_assert(kind == codec_kind::aggregate, "values of this type cannot be decoded");
    detail::decode_aggregate(in, value);
  }
}

/// The value of a message, which is all that there is to read.
template <class T>
void decode_root(wire_reader& in, T& value) {
  if constexpr (codec_kind_of<T> == codec_kind::aggregate) {
    auto count = in.varint();
    detail::decode_fields(in, value, count);
    if (count > boost::pfr::tuple_size_v<T>) in.skip_rest();
  } else {
    detail::decode(in, value);
  }
  in.finish();
}

// --- names ---------------------------------------------------------------------------------------

template <class M>
constexpr std::string_view find_wire_name() {
  if constexpr (requires {
                  typename std::bool_constant<(std::string_view(M::wire_name).size() != 0)>;
                })
    return M::wire_name;
  else
    return type_name<M>();
}

/// FNV-1a, 64 bits.
constexpr std::uint64_t wire_hash_of(std::string_view name) noexcept {
  std::uint64_t hash = 0xCBF29CE484222325;
  for (char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3;
  return hash;
}

struct message_type;

/// What a wire hash stands for: the type that some handler of this program takes, or nothing. When
/// several types have one hash, a marker that decodes nothing, called ambiguous; its wire_name is
/// theirs. Takes no lock.
const message_type* find_wire_type(std::uint64_t hash) noexcept;
bool is_ambiguous(const message_type& type) noexcept;

/// Makes a type known to find_wire_type, for ever. One static instance per type.
class wire_registration {
 public:
  explicit wire_registration(const message_type& type) noexcept;

 private:
  friend const message_type* find_wire_type(std::uint64_t hash) noexcept;

  std::uint64_t hash_;
  const message_type* type_;
  std::atomic<const message_type*> answer_;
  wire_registration* next_ = nullptr;
};

}  // namespace roost::detail
