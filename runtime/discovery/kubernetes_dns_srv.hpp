// runtime/discovery/kubernetes_dns_srv.hpp
//
// The nodes are the pods of a stateful set, by name:
// application_name@myapp-0.myapp.default.svc.cluster.local. They keep it when they get another
// address. libcluster's Cluster.Strategy.Kubernetes.DNSSRV.
//
//   std::make_shared<roost::discovery::kubernetes_dns_srv>(
//       roost::discovery::kubernetes_dns_srv::options{
//           .service = "myapp", .application_name = "myapp", .namespace_ = "default"});
//
// Asks for the SRV records of <service>.<namespace>.svc.<cluster domain>; the domain is that of the
// variable CLUSTER_DOMAIN, or cluster.local.
#pragma once
#include "runtime/discovery/strategy.hpp"

namespace roost::discovery {

class dns_nodes;

class kubernetes_dns_srv final : public strategy {
 public:
  struct options {
    std::string service;           // required: the one that the stateful set is under
    std::string application_name;  // required: the part before @
    std::string namespace_;        // required
    std::chrono::milliseconds polling_interval{5000};
    std::string server = {};  // address:port; empty: those of /etc/resolv.conf
    std::chrono::milliseconds timeout{5000};
  };

  explicit kubernetes_dns_srv(options options);
  ~kubernetes_dns_srv() override;
  std::string_view name() const noexcept override { return "kubernetes_dns_srv"; }
  std::vector<std::string> look() override;
  std::chrono::milliseconds interval() const noexcept override { return interval_; }

 private:
  std::unique_ptr<dns_nodes> nodes_;
  std::chrono::milliseconds interval_;
};

}  // namespace roost::discovery
