#include "operations/console/dynamic.hpp"
#include "runtime/distribution/node.hpp"
#include "runtime/process_core.hpp"
#include <charconv>
#include <cmath>

namespace roost::detail {
namespace {

constexpr std::int64_t nanoseconds_in_ms = 1'000'000;

std::string kind_of(const json& value) {
  if (value.is_null()) return "nothing";
  if (value.is_bool()) return "a boolean";
  if (value.is_number()) return "the number " + value.number_text();
  if (value.is_string()) return "the text \"" + value.as_string() + "\"";
  return value.is_array() ? "a list" : "a table";
}

[[noreturn]] void throw_expected(const std::string& expected, const json& got) {
  throw std::invalid_argument("expected " + expected + ", got " + kind_of(got));
}

/// Runs `write`, and names the field in what it throws.
template <class F>
void in_field(std::string_view name, F write) {
  try {
    write();
  } catch (const std::invalid_argument& error) {
    throw std::invalid_argument("in " + std::string(name) + ": " + error.what());
  }
}

std::string name_of_part(const shape& what, std::size_t index) {
  auto& name = what.first[index].name;
  return name.empty() ? "field " + std::to_string(index + 1) : std::string(name);
}

// --- writing -------------------------------------------------------------------------------------

void write_integer(wire_writer& out, const shape& what, const json& value) {
  if (!value.is_int()) throw_expected("a whole number", value);
  auto fits = [&](std::int64_t low, std::uint64_t high) {
    auto text = value.number_text();
    bool negative = !text.empty() && text.front() == '-';
    bool inside = negative ? value.as<std::int64_t>() >= low : value.as<std::uint64_t>() <= high;
    if (!inside)
      throw_expected("a number from " + std::to_string(low) + " to " + std::to_string(high), value);
  };
  unsigned bits = what.size * 8U;
  if (what.is_signed) {
    auto high = (std::uint64_t{1} << (bits - 1)) - 1;
    fits(-static_cast<std::int64_t>(high) - 1, high);
    auto number = value.as<std::int64_t>();
    what.size == 1 ? out.byte(static_cast<std::uint8_t>(number)) : out.signed_varint(number);
  } else {
    fits(0, bits == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << bits) - 1);
    auto number = value.as<std::uint64_t>();
    what.size == 1 ? out.byte(static_cast<std::uint8_t>(number)) : out.varint(number);
  }
}

void write_real(wire_writer& out, const shape& what, const json& value) {
  if (!value.is_number()) throw_expected("a number", value);
  auto number = value.as_double();
  if (what.size == 4)
    out.fixed32(std::bit_cast<std::uint32_t>(static_cast<float>(number)));
  else
    out.fixed64(std::bit_cast<std::uint64_t>(number));
}

void write_duration(wire_writer& out, const shape& what, const json& value) {
  if (!value.is_number()) throw_expected("a number of milliseconds", value);
  auto ms = value.as_double();
  auto count = what.nanoseconds != 0 ? ms * static_cast<double>(nanoseconds_in_ms) /
                                           static_cast<double>(what.nanoseconds)
                                     : ms * static_cast<double>(what.per_second) / 1000;
  auto& unit = *what.first[0].what;
  if (unit.kind == shape_kind::real)
    write_value(out, unit, json(count));
  else
    write_value(out, unit, json(static_cast<std::int64_t>(std::llround(count))));
}

void write_list(wire_writer& out, const shape& what, const json& value) {
  auto& element = *what.first[0].what;
  if (is_map(what) && value.is_object()) {
    out.varint(value.size());
    for (auto& member : value.members()) {
      out.text(member.key);
      in_field(member.key, [&] { write_value(out, *element.first[1].what, member.value); });
    }
    return;
  }
  // An empty table may be either.
  if (!value.is_array() && !(value.is_object() && value.empty())) throw_expected("a list", value);
  if (what.fixed != 0 && value.size() != what.fixed)
    throw_expected("a list of " + std::to_string(what.fixed), value);
  out.varint(value.size());
  for (auto& one : value.items()) write_value(out, element, one);
}

void write_parts(wire_writer& out, const shape& what, const json& value) {
  if (!value.is_array() || value.size() != what.count)
    throw_expected("a list of " + std::to_string(what.count), value);
  for (std::size_t i = 0; i < what.count; ++i) write_value(out, *what.first[i].what, value[i]);
}

void write_variant(wire_writer& out, const shape& what, const json& value) {
  auto index = value["index"];
  if (!index.is_int() || index.as_int() < 0 ||
      index.as_int() >= static_cast<std::int64_t>(what.count))
    throw_expected("{index = 0 to " + std::to_string(what.count - 1) + ", value = …}", value);
  auto at = static_cast<std::size_t>(index.as_int());
  out.varint(at);
  write_value(out, *what.first[at].what, value["value"]);
}

/// How many fields are written: a receiver leaves those behind them at their defaults.
std::size_t fields_given(const shape& what, const json& value) {
  if (value.is_array()) {
    if (value.size() > what.count)
      throw std::invalid_argument(
          "expected at most " + std::to_string(what.count) + " fields of " +
          std::string(unqualified(what.name)) + ", got " + std::to_string(value.size()));
    return value.size();
  }
  std::size_t last = 0;
  for (auto& member : value.members()) {
    std::size_t at = 0;
    while (at < what.count && what.first[at].name != member.key) ++at;
    if (at == what.count)
      throw std::invalid_argument(
          "expected a field of " + describe_shape(what) + ", got " + member.key);
    last = std::max(last, at + 1);
  }
  for (std::size_t i = 0; i < last; ++i)
    if (!value.contains(what.first[i].name))
      throw std::invalid_argument(
          "expected " + std::string(what.first[i].name) + " as well, since it comes before " +
          std::string(what.first[last - 1].name) + " in " + describe_shape(what));
  return last;
}

void write_fields(wire_writer& out, const shape& what, const json& value, std::size_t given) {
  out.enter();
  for (std::size_t i = 0; i < given; ++i) {
    auto& part = what.first[i];
    in_field(name_of_part(what, i), [&] {
      write_value(out, *part.what, value.is_array() ? value[i] : value[part.name]);
    });
  }
  out.leave();
}

std::size_t checked_fields(const shape& what, const json& value) {
  if (value.is_null()) return 0;
  if (!value.is_array() && !value.is_object()) throw_expected(describe_shape(what), value);
  return fields_given(what, value);
}

// --- reading -------------------------------------------------------------------------------------

json read_integer(wire_reader& in, const shape& what) {
  if (what.size == 1) {
    auto byte = in.byte();
    return what.is_signed ? json(static_cast<std::int64_t>(static_cast<std::int8_t>(byte)))
                          : json(static_cast<std::int64_t>(byte));
  }
  return what.is_signed ? json(in.signed_varint()) : json(in.varint());
}

json read_duration(wire_reader& in, const shape& what) {
  auto count = read_value(in, *what.first[0].what).as_double();
  auto ms =
      what.nanoseconds != 0
          ? count * static_cast<double>(what.nanoseconds) / static_cast<double>(nanoseconds_in_ms)
          : count * 1000 / static_cast<double>(std::max<std::int64_t>(what.per_second, 1));
  if (ms == std::floor(ms) && std::abs(ms) < 9e15) return json(static_cast<std::int64_t>(ms));
  return json(ms);
}

json read_list(wire_reader& in, const shape& what) {
  auto& element = *what.first[0].what;
  auto count = in.count(1);
  if (is_map(what)) {
    auto object = json::object();
    for (; count != 0; --count) {
      std::string key(in.text());
      object[key] = read_value(in, *element.first[1].what);
    }
    return object;
  }
  auto list = json::array();
  for (; count != 0; --count) list.push_back(read_value(in, element));
  return list;
}

json read_fields(wire_reader& in, const shape& what, std::uint64_t count) {
  in.enter();
  bool named = what.count == 0 || !what.first[0].name.empty();
  auto result = named ? json::object() : json::array();
  for (std::size_t i = 0; i < what.count && i < count; ++i) {
    auto value = read_value(in, *what.first[i].what);
    if (named)
      result.append(std::string(what.first[i].name), std::move(value));
    else
      result.push_back(std::move(value));
  }
  in.leave();
  return result;
}

}  // namespace

void write_root(wire_writer& out, const shape& what, const json& value) {
  if (what.kind != shape_kind::aggregate) return write_value(out, what, value);
  auto given = checked_fields(what, value);
  out.varint(given);
  write_fields(out, what, value, given);
}

void write_value(wire_writer& out, const shape& what, const json& value) {
  switch (what.kind) {
    case shape_kind::opaque:
      throw std::invalid_argument(
          "expected a type that can be typed, got " + std::string(unqualified(what.name)));
    case shape_kind::boolean:
      if (!value.is_bool()) throw_expected("true or false", value);
      return out.byte(value.as_bool() ? 1 : 0);
    case shape_kind::integer:
      return write_integer(out, what, value);
    case shape_kind::real:
      return write_real(out, what, value);
    case shape_kind::text:
    case shape_kind::bytes:
      if (!value.is_string()) throw_expected("a text", value);
      return out.text(value.as_string());
    case shape_kind::process:
      if (value.is_null()) return out.pid({});
      if (!value.is_string()) throw_expected("a pid", value);
      return out.pid(process_from_text(value.as_string()));
    case shape_kind::ref:
      return out.ref(make_ref());
    case shape_kind::unit:
      return out.byte(0);
    case shape_kind::optional:
      out.byte(value.is_null() ? 0 : 1);
      if (!value.is_null()) write_value(out, *what.first[0].what, value);
      return;
    case shape_kind::variant:
      return write_variant(out, what, value);
    case shape_kind::tuple:
      return write_parts(out, what, value);
    case shape_kind::duration:
    case shape_kind::time:
      return what.kind == shape_kind::time ? write_value(out, *what.first[0].what, value)
                                           : write_duration(out, what, value);
    case shape_kind::list:
      return write_list(out, what, value);
    case shape_kind::aggregate:
      break;
  }
  auto given = checked_fields(what, value);
  out.varint(given);
  if (given == 0) return;
  auto start = out.begin_sized();
  write_fields(out, what, value, given);
  out.end_sized(start);
}

json read_root(wire_reader& in, const shape& what) {
  if (what.kind != shape_kind::aggregate) return read_value(in, what);
  return read_fields(in, what, in.varint());
}

json read_value(wire_reader& in, const shape& what) {
  switch (what.kind) {
    case shape_kind::opaque:
      throw decode_error("a value of " + std::string(what.name) + " says itself how it travels");
    case shape_kind::boolean:
      return json(in.boolean());
    case shape_kind::integer:
      return read_integer(in, what);
    case shape_kind::real:
      return what.size == 4 ? json(std::bit_cast<float>(in.fixed32()))
                            : json(std::bit_cast<double>(in.fixed64()));
    case shape_kind::text:
    case shape_kind::bytes:
      return json(std::string(in.text()));
    case shape_kind::process: {
      auto process = in.pid();
      return process ? json(to_string(process)) : json();
    }
    case shape_kind::ref:
      return json(to_string(in.ref()));
    case shape_kind::unit:
      in.byte();
      return {};
    case shape_kind::optional:
      return in.boolean() ? read_value(in, *what.first[0].what) : json();
    case shape_kind::variant: {
      auto index = in.varint();
      if (index >= what.count) in.throw_expected("an alternative that the variant has", index);
      return read_value(in, *what.first[index].what);
    }
    case shape_kind::tuple: {
      auto list = json::array();
      for (auto& part : what.parts()) list.push_back(read_value(in, *part.what));
      return list;
    }
    case shape_kind::duration:
      return read_duration(in, what);
    case shape_kind::time:
      return read_value(in, *what.first[0].what);
    case shape_kind::list:
      return read_list(in, what);
    case shape_kind::aggregate:
      break;
  }
  auto count = in.varint();
  if (count == 0) return json::object();
  auto* outer_end = in.begin_sized();
  auto result = read_fields(in, what, count);
  in.end_sized(outer_end, count > what.count);
  return result;
}

message_ptr make_dynamic(const message_type& type, message_kind kind, const json& value) {
  if (type.shape == nullptr || type.decode == nullptr)
    throw std::invalid_argument(
        "expected a message that can travel between nodes, got " + std::string(type.name));
  wire_buffer bytes;
  wire_writer out{bytes};
  write_root(out, *type.shape, value);
  wire_reader in{bytes.view()};
  try {
    return type.decode(kind, in);
  } catch (const decode_error& error) {
    throw std::invalid_argument(error.what());
  }
}

json show_message(const message& message) {
  auto& type = *message.type;
  if (type.shape == nullptr || type.encode == nullptr) return json(describe(message));
  try {
    wire_buffer bytes;
    wire_writer out{bytes};
    type.encode(message, out);
    wire_reader in{bytes.view()};
    return read_root(in, *type.shape);
  } catch (const std::exception&) {
    return json(describe(message));  // something in it is opaque
  }
}

std::string node_in_text(std::string_view text) {
  if (text.size() < 3 || text.front() != '<' || text.back() != '>') return {};
  auto colon = text.rfind(':');
  return colon == text.npos ? std::string() : std::string(text.substr(1, colon - 1));
}

pid process_from_text(std::string_view text) {
  auto wrong = [&]() -> std::invalid_argument {
    return std::invalid_argument(
        "expected a pid such as <0.42.3>, got \"" + std::string(text) + '"');
  };
  if (text.size() < 5 || text.front() != '<' || text.back() != '>') throw wrong();
  auto inner = text.substr(1, text.size() - 2);
  if (auto colon = inner.rfind(':'); colon != inner.npos) {
    if (inner.substr(0, colon) != node::self())
      throw std::invalid_argument(
          "expected a process of " + node::self() + ", got " + std::string(text));
    inner.remove_prefix(colon + 1);
  } else if (inner.starts_with("0.")) {
    inner.remove_prefix(2);
  } else {
    throw wrong();
  }
  std::uint64_t index = 0;
  std::uint64_t use = 0;
  auto* end = inner.data() + inner.size();
  auto first = std::from_chars(inner.data(), end, index);
  if (first.ec != std::errc() || first.ptr == end || *first.ptr != '.') throw wrong();
  auto second = std::from_chars(first.ptr + 1, end, use);
  if (second.ec != std::errc() || second.ptr != end || index > index_mask) throw wrong();
  return pid{index | use << index_bits, 0};
}

}  // namespace roost::detail
