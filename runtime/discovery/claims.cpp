#include "runtime/discovery/claims.hpp"
#include <map>
#include <mutex>

namespace roost::discovery {
namespace {

struct claim {
  std::string self;
  std::set<std::string> nodes;
};

struct claim_table {
  std::mutex mutex;
  std::map<const node_claim*, claim> claims;
};

claim_table& table() {
  static auto& all = *new claim_table;  // servers may still end while main returns
  return all;
}

}  // namespace

node_claim::node_claim(std::string self) : self_(std::move(self)) {}

node_claim::~node_claim() {
  std::lock_guard guard{table().mutex};
  table().claims.erase(this);
}

void node_claim::set(std::set<std::string> nodes) {
  std::lock_guard guard{table().mutex};
  table().claims[this] = {self_, std::move(nodes)};
}

bool node_claim::others_want(const std::string& node) const {
  std::lock_guard guard{table().mutex};
  for (auto& [owner, claim] : table().claims)
    if (owner != this && claim.self == self_ && claim.nodes.contains(node)) return true;
  return false;
}

}  // namespace roost::discovery
