#include "runtime/discovery/dns_poll.hpp"
#include "runtime/discovery/dns_nodes.hpp"

namespace roost::discovery {

dns_poll::dns_poll(options options)
    : nodes_(std::make_unique<dns_nodes>(
          name(),
          dns_nodes::options{
              .names = std::move(options.query),
              .types = to_dns_types(options.resource_types),
              .basename = std::move(options.node_basename),
              .server = std::move(options.server),
              .timeout = options.timeout})),
      interval_(options.polling_interval) {}

dns_poll::~dns_poll() = default;

std::vector<std::string> dns_poll::look() { return nodes_->look(); }

}  // namespace roost::discovery
