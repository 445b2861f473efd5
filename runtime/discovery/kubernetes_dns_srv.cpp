#include "runtime/discovery/kubernetes_dns_srv.hpp"
#include "runtime/discovery/dns_nodes.hpp"
#include <cstdlib>

namespace roost::discovery {
namespace {

std::string service_name(const kubernetes_dns_srv::options& options) {
  auto* variable = std::getenv("CLUSTER_DOMAIN");
  std::string domain = variable != nullptr && *variable != '\0' ? variable : "cluster.local.";
  // The name is whole: search domains would only be asked in vain.
  if (!domain.ends_with('.')) domain += '.';
  return options.service + "." + options.namespace_ + ".svc." + domain;
}

}  // namespace

kubernetes_dns_srv::kubernetes_dns_srv(options options)
    : nodes_(std::make_unique<dns_nodes>(
          name(),
          dns_nodes::options{
              .names = {service_name(options)},
              .types = {net::dns_type::srv},
              .basename = std::move(options.application_name),
              .server = std::move(options.server),
              .timeout = options.timeout})),
      interval_(options.polling_interval) {}

kubernetes_dns_srv::~kubernetes_dns_srv() = default;

std::vector<std::string> kubernetes_dns_srv::look() { return nodes_->look(); }

}  // namespace roost::discovery
