#include "supervision/supervision_tree.hpp"
#include "runtime/blocking.hpp"
#include "runtime/process_core.hpp"
#include "supervision/tree_node.hpp"

namespace roost {

std::string detail::view_text(const tree_view& view) {
  auto text = view.strategy + " [";
  for (auto& child : view.children) {
    if (&child != view.children.data()) text += ", ";
    if (!child.id.empty()) text += child.id + " ";
    text += child.process ? to_string(child.process) : child.restarting ? "restarting" : "stopped";
  }
  if (view.omitted != 0) text += ", and " + std::to_string(view.omitted) + " more";
  return text + "]";
}

namespace {

using view = std::optional<detail::tree_view>;

/// Nothing: the process is no supervisor, or there is none. Throws process_exit when it is too
/// busy.
view look_at(pid process, std::size_t most) {
  return detail::inspect<view>(
             process,
             [most](detail::process* found) {
               auto* node = found == nullptr
                                ? nullptr
                                : dynamic_cast<const detail::tree_node*>(found->does.get());
               return detail::make_message<view>(
                   detail::message_kind::reply,
                   node == nullptr ? view{} : std::optional(node->look(most)));
             })
      .get();
}

void look_below(supervision_tree& tree, std::size_t most) {
  if (!tree.process) return;
  view seen;
  try {
    seen = look_at(tree.process, most);
  } catch (const process_exit&) {
    tree.answered = !is_alive(tree.process);  // one that has ended is no riddle
    return;
  }
  if (!seen) return;
  tree.type = child_type::supervisor;
  tree.name = seen->name;
  tree.strategy = seen->strategy;
  tree.omitted = seen->omitted;
  for (auto& child : seen->children) {
    auto name = whereis(child.id) == child.process && child.process ? child.id : std::string();
    tree.children.push_back(
        {.id = child.id,
         .name = std::move(name),
         .process = child.process,
         .restarting = child.restarting,
         .type = child.type});
    if (child.type == child_type::supervisor) look_below(tree.children.back(), most);
  }
}

std::string label(const supervision_tree& tree) {
  std::string text = tree.id;
  if (!tree.name.empty() && tree.name != tree.id)
    text += text.empty() ? tree.name : " (" + tree.name + ")";
  auto add = [&](std::string_view word) {
    if (!text.empty()) text += ' ';
    text += word;
  };
  if (tree.restarting)
    add("restarting");
  else
    add(tree.process ? to_string(tree.process) : "undefined");
  add(to_string(tree.type));
  if (!tree.strategy.empty()) text += ", " + tree.strategy;
  if (!tree.answered) text += ", does not answer";
  return text;
}

/// 99999 → "99,999"
std::string with_commas(std::size_t number) {
  auto text = std::to_string(number);
  for (auto at = static_cast<std::ptrdiff_t>(text.size()) - 3; at > 0; at -= 3)
    text.insert(static_cast<std::size_t>(at), 1, ',');
  return text;
}

void print(const supervision_tree& tree, const std::string& indent, std::string& text) {
  text += label(tree) + "\n";
  for (std::size_t i = 0; i < tree.children.size(); ++i) {
    bool last = i + 1 == tree.children.size() && tree.omitted == 0;
    text += indent + (last ? "└─ " : "├─ ");
    print(tree.children[i], indent + (last ? "   " : "│  "), text);
  }
  if (tree.omitted > 0) text += indent + "└─ … and " + with_commas(tree.omitted) + " more\n";
}

}  // namespace

std::string supervision_tree::to_text() const {
  std::string text;
  print(*this, "", text);
  return text;
}

const supervision_tree* supervision_tree::find(std::string_view name_or_id) const {
  if (id == name_or_id || name == name_or_id) return this;
  for (auto& child : children)
    if (auto* found = child.find(name_or_id)) return found;
  return nullptr;
}

pending<supervision_tree> supervision_tree_of(pid top, tree_options options) {
  return blocking([top, options] {
    supervision_tree tree{.id = {}, .process = top};
    look_below(tree, options.children);
    return tree;
  });
}

pending<supervision_tree> supervision_tree_of(const process_name& top, tree_options options) {
  return blocking([top, options] {
    supervision_tree tree{.id = top.text(), .process = top.process()};
    look_below(tree, options.children);
    return tree;
  });
}

}  // namespace roost
