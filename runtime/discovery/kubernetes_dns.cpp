#include "runtime/discovery/kubernetes_dns.hpp"
#include "runtime/discovery/dns_nodes.hpp"

namespace roost::discovery {

kubernetes_dns::kubernetes_dns(options options)
    : nodes_(std::make_unique<dns_nodes>(
          name(),
          dns_nodes::options{
              .names = {std::move(options.service)},
              .types = to_dns_types(options.resource_types),
              .basename = std::move(options.application_name),
              .server = std::move(options.server),
              .timeout = options.timeout})),
      interval_(options.polling_interval) {}

kubernetes_dns::~kubernetes_dns() = default;

std::vector<std::string> kubernetes_dns::look() { return nodes_->look(); }

}  // namespace roost::discovery
