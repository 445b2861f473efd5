// private: which nodes the topologies of a node want, so that none disconnects what another needs.
//
//   node_claim mine("a@h");
//   mine.set({"b@h", "c@h"});
//   mine.others_want("b@h")     // whether another claim of a@h has it
//
// Thread safety: claims may be used in different threads at once, each in one at a time.
#pragma once
#include <set>
#include <string>

namespace roost::discovery {

class node_claim {
 public:
  /// A process of the operating system may hold several nodes in tests; each has claims of its own.
  explicit node_claim(std::string self);
  node_claim(const node_claim&) = delete;
  node_claim& operator=(const node_claim&) = delete;
  ~node_claim();

  void set(std::set<std::string> nodes);
  bool others_want(const std::string& node) const;

 private:
  std::string self_;
};

}  // namespace roost::discovery
