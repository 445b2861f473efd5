#include "runtime/discovery/local.hpp"

namespace roost::discovery {

local::local(options options, bindings node) : options_(options), node_(std::move(node)) {}

std::vector<std::string> local::look() {
  auto self = node_.self();
  auto at = self.find('@');
  if (at == self.npos || self == "nonode@nohost") return {};
  // Names end with this node's host, whatever address the port mapper is asked at.
  std::vector<std::string> nodes;
  for (auto& name : node_.names("127.0.0.1")) nodes.push_back(name + self.substr(at));
  return nodes;
}

}  // namespace roost::discovery
