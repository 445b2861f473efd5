// private: values of types that only the program knows, made of JSON and shown as JSON, by their
// shape (runtime/shape.hpp).
//
//   wire_buffer bytes;
//   wire_writer out{bytes};
//   write_value(out, shape_of<posted>, *json::parse(R"({"author":"ann","lines":["hi"]})"));
//   read_value(reader, shape_of<posted>)        // {"author":"ann","lines":["hi"]}
//
// An aggregate is an object with its fields by name, or an array of them by position; what is
// missing keeps its default. Durations and times are numbers of milliseconds, pids their text, an
// optional is null or its value, a variant {"index": 0, "value": …}, a map with texts as keys an
// object. What does not fit throws std::invalid_argument, naming the field.
#pragma once
#include "channels/json.hpp"
#include "operations/console/shape_words.hpp"

namespace roost::detail {

/// In a message the outermost aggregate is written without its size: see codec.hpp.
void write_root(wire_writer& out, const shape& what, const json& value);
json read_root(wire_reader& in, const shape& what);

void write_value(wire_writer& out, const shape& what, const json& value);
json read_value(wire_reader& in, const shape& what);

/// A message of this type, or throws.
message_ptr make_dynamic(const message_type& type, message_kind kind, const json& value);

/// The value of a message: as JSON, or as text when it has no shape.
json show_message(const message& message);

/// A process of this node, of "<0.42.3>" or "<NODE:42.3>" with this node's name. Throws.
pid process_from_text(std::string_view text);
/// The node in the text of a pid; empty: none, or no pid.
std::string node_in_text(std::string_view text);

}  // namespace roost::detail
