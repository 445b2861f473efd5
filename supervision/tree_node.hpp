// private: what every kind of supervisor shows of itself to those who draw the tree.
#pragma once
#include "supervision/child_result.hpp"
#include "supervision/reports.hpp"

namespace roost::detail {

/// One supervisor and its children, at a moment.
struct tree_view {
  std::string name;      // registered, or empty
  std::string strategy;  // in words
  std::vector<child_info> children;
  std::size_t omitted = 0;  // children that are not listed
};

/// For sys::get_status: the strategy and the children, as many as a view of 50 has.
std::string view_text(const tree_view& view);

class tree_node {
 public:
  tree_node() = default;
  tree_node(const tree_node&) = delete;
  tree_node& operator=(const tree_node&) = delete;

  /// Lists up to `most` children. Runs in the process, between two handlers.
  virtual tree_view look(std::size_t most) const = 0;

 protected:
  ~tree_node() = default;
};

}  // namespace roost::detail
