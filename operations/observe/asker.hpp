// private: whom the observer asks: the console of a running node, or in tests something that
// answers the same.
#pragma once
#include "channels/json.hpp"
#include <string>

namespace roost::detail {

class asker {
 public:
  asker() = default;
  asker(const asker&) = delete;
  asker& operator=(const asker&) = delete;
  virtual ~asker() = default;

  /// Throws std::runtime_error with what was wrong. An empty node: the one that is attached to.
  virtual json ask(const std::string& function, const json& arguments, const std::string& node) = 0;
};

}  // namespace roost::detail
