#include "runtime/discovery/epmd.hpp"
#include "runtime/node_table.hpp"
#include <stdexcept>

namespace roost::discovery {
namespace {

class fixed_list final : public strategy {
 public:
  explicit fixed_list(std::vector<std::string> hosts) : hosts_(std::move(hosts)) {}
  std::string_view name() const noexcept override { return "epmd"; }
  std::vector<std::string> look() override { return hosts_; }
  std::chrono::milliseconds interval() const noexcept override {
    return std::chrono::milliseconds(-1);  // the list does not change
  }

 private:
  std::vector<std::string> hosts_;
};

}  // namespace

std::shared_ptr<strategy> epmd(std::vector<std::string> hosts) {
  for (auto& host : hosts)
    if (!detail::is_node_name(host))
      throw std::invalid_argument("expected a node to be name@host, got " + host);
  return std::make_shared<fixed_list>(std::move(hosts));
}

}  // namespace roost::discovery
