// runtime/discovery/kubernetes_dns.hpp
//
// The nodes are the pods behind a headless service: application_name@<address of the pod>.
// libcluster's Cluster.Strategy.Kubernetes.DNS.
//
//   std::make_shared<roost::discovery::kubernetes_dns>(roost::discovery::kubernetes_dns::options{
//       .service = "myapp-headless", .application_name = "myapp"});
//
// The service is found in the pod's namespace by the search domains of its /etc/resolv.conf. A
// service without pods that are ready means that there are no nodes; docs/discovery.md has one that
// publishes those that are not ready as well.
#pragma once
#include "runtime/discovery/strategy.hpp"

namespace roost::discovery {

class dns_nodes;

class kubernetes_dns final : public strategy {
 public:
  struct options {
    std::string service;           // required
    std::string application_name;  // required: the part before @
    // As libcluster. In a cluster that has IPv6 only: {"aaaa"}. With both, pods that have both
    // kinds of addresses would be two nodes each.
    std::vector<std::string> resource_types = {"a"};
    std::chrono::milliseconds polling_interval{5000};
    std::string server = {};  // address:port; empty: those of /etc/resolv.conf
    std::chrono::milliseconds timeout{5000};
  };

  /// Throws std::invalid_argument for options that are wrong.
  explicit kubernetes_dns(options options);
  ~kubernetes_dns() override;
  std::string_view name() const noexcept override { return "kubernetes_dns"; }
  std::vector<std::string> look() override;
  std::chrono::milliseconds interval() const noexcept override { return interval_; }

 private:
  std::unique_ptr<dns_nodes> nodes_;
  std::chrono::milliseconds interval_;
};

}  // namespace roost::discovery
