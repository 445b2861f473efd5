// Shapes in words, for help and for what is wrong.
#include "operations/console/shape_words.hpp"

namespace roost::detail {
namespace {

/// The aggregates that a shape lies in: one that contains itself would never end.
struct enclosing {
  const shape* what;
  const enclosing* outer;
};

bool lies_in(const shape& what, const enclosing* outer) {
  for (; outer != nullptr; outer = outer->outer)
    if (outer->what == &what) return true;
  return false;
}

std::string describe(const shape& what, const enclosing* outer) {
  auto part = [&](std::size_t i) { return describe(*what.first[i].what, outer); };
  switch (what.kind) {
    case shape_kind::opaque:
      return std::string(unqualified(what.name));
    case shape_kind::boolean:
      return "boolean";
    case shape_kind::integer:
      return "integer";
    case shape_kind::real:
      return "number";
    case shape_kind::text:
      return "text";
    case shape_kind::bytes:
      return "bytes";
    case shape_kind::process:
      return "pid";
    case shape_kind::ref:
      return "reference";
    case shape_kind::unit:
      return "nothing";
    case shape_kind::optional:
      return "optional " + part(0);
    case shape_kind::duration:
      return "milliseconds";
    case shape_kind::time:
      return "time";
    case shape_kind::list:
      return is_map(what) ? "table of " + describe(*what.first[0].what->first[1].what, outer)
                          : "list of " + part(0);
    case shape_kind::aggregate:
    case shape_kind::variant:
    case shape_kind::tuple:
      break;
  }
  std::string text(
      what.kind == shape_kind::aggregate ? unqualified(what.name)
      : what.kind == shape_kind::variant ? "one of "
                                         : "");
  if (lies_in(what, outer)) return text;
  enclosing here{&what, outer};
  text += '{';
  for (std::size_t i = 0; i < what.count; ++i) {
    if (i != 0) text += ", ";
    auto& one = what.first[i];
    if (!one.name.empty()) text.append(one.name).append(": ");
    text += describe(*one.what, &here);
  }
  return text + "}";
}

}  // namespace

bool is_map(const shape& what) {
  auto& element = *what.first[0].what;
  return element.kind == shape_kind::tuple && element.count == 2 &&
         element.first[0].what->kind == shape_kind::text;
}

std::string describe_shape(const shape& what) { return describe(what, nullptr); }

std::string signature(const message_type& type) {
  if (type.shape == nullptr || type.decode == nullptr)
    return std::string(unqualified(type.name)) + " (cannot be typed)";
  return describe_shape(*type.shape);
}

}  // namespace roost::detail
