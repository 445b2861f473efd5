// supervision/supervision_tree.hpp
//
// A picture of a supervision tree at one moment: to print, or to find a process in.
//
//   auto shop = roost::supervision_tree_of("shop").get();        // in a process: .then(…)
//   std::puts(shop.to_text().c_str());
//
//   shop <0.3.0> supervisor, one_for_one
//   ├─ till <0.4.0> worker
//   ├─ clerk restarting worker
//   └─ kitchen <0.6.0> supervisor, rest_for_one
//      ├─ oven <0.7.0> worker
//      └─ waiter <0.8.0> worker
//
//   if (auto* oven = shop.find("oven")) roost::exit(oven->process, roost::exit_reason::kill);
//
// Supervisors are asked one after the other, between two of their handlers, so that one that is
// busy starting or stopping children answers as well; parts of the picture may be a moment apart.
//
// Thread safety: a plain value; ask for it from any process or thread. A blocking thread does the
// asking. Source: OTP supervisor:which_children/1, observer.
#pragma once
#include "supervision/child_result.hpp"

namespace roost {

struct supervision_tree {
  std::string id;         // in its supervisor; empty: a child of a dynamic supervisor
  std::string name = {};  // registered, as far as it is known
  pid process = {};       // nobody: not running
  bool restarting = false;
  child_type type = child_type::worker;
  std::string strategy = {};                    // of a supervisor
  std::vector<supervision_tree> children = {};  // of a supervisor
  std::size_t omitted = 0;                      // more children than were asked for
  bool answered = true;                         // false: a supervisor that has not, within 5 s

  /// One line for each process; ends with a newline.
  std::string to_text() const;

  /// The first one with this id or registered name, from the top; null if there is none.
  const supervision_tree* find(std::string_view name_or_id) const;
};

struct tree_options {
  std::size_t children = 100;  // of one supervisor, at most
};

/// The tree below a supervisor. Any other process is a tree without children; nobody, one without a
/// process.
pending<supervision_tree> supervision_tree_of(pid top, tree_options options = {});
pending<supervision_tree> supervision_tree_of(const process_name& top, tree_options options = {});

}  // namespace roost
