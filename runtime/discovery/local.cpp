#include "runtime/discovery/local.hpp"
#include "runtime/distribution/port_mapper.hpp"

namespace roost::discovery {
namespace {

class names_of_the_host final : public strategy {
 public:
  names_of_the_host(std::string self, std::uint16_t epmd_port)
      : host_(self.substr(self.find('@'))), epmd_port_(epmd_port) {}

  std::string_view name() const noexcept override { return "local"; }

  std::vector<std::string> look() override {
    std::vector<std::string> nodes;
    auto names = detail::epmd_names("127.0.0.1", epmd_port_, std::chrono::seconds(2));
    for (auto& entry : names) nodes.push_back(entry.name + host_);
    return nodes;
  }

 private:
  std::string host_;  // with its @
  std::uint16_t epmd_port_;
};

}  // namespace

std::shared_ptr<strategy> local(std::string self, std::uint16_t epmd_port) {
  return std::make_shared<names_of_the_host>(std::move(self), epmd_port);
}

}  // namespace roost::discovery
