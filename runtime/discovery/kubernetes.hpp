// runtime/discovery/kubernetes.hpp
//
// The nodes are the pods that a label selects, as the API of Kubernetes tells them:
// basename@10.0.0.1, or a name in the cluster's DNS. libcluster's Cluster.Strategy.Kubernetes.
//
//   std::make_shared<roost::discovery::kubernetes>(roost::discovery::kubernetes::options{
//       .kubernetes_node_basename = "myapp", .kubernetes_selector = "app=myapp"});
//
// The pod's service account needs the right to list endpoints, or pods; docs/discovery.md has the
// role. Its token is read at each look, since it is exchanged every hour; its ca.crt verifies the
// server. A look fails when the server cannot be asked, refuses, or answers with something else
// than a list, so that the last answer holds.
#pragma once
#include "runtime/discovery/strategy.hpp"

namespace roost::discovery {

class kubernetes final : public strategy {
 public:
  enum class naming {
    ip,       // basename@10.0.0.1
    dns,      // basename@10-0-0-1.namespace.pod.cluster.local
    hostname  // basename@hostname.service.namespace.svc.cluster.local; pods without one are left
              // out
  };
  enum class lookup {
    endpoints,  // the addresses of services that are ready
    pods        // all pods that have an address and have not ended
  };

  struct options {
    std::string kubernetes_node_basename;   // required: the part before @
    std::string kubernetes_selector;        // required, of labels: app=myapp
    std::string kubernetes_namespace = {};  // empty: that of the service account
    naming mode = naming::ip;
    std::string kubernetes_service_name = {};  // required by `hostname`
    lookup kubernetes_ip_lookup_mode = lookup::endpoints;
    bool kubernetes_use_cached_resources = false;     // cheaper for the server, maybe out of date
    std::string kubernetes_cluster_name = "cluster";  // .local; or the variable CLUSTER_DOMAIN
    std::string kubernetes_service_account_path = "/var/run/secrets/kubernetes.io/serviceaccount";
    // host[:port] of the server. Empty: the variables KUBERNETES_SERVICE_HOST and _PORT, which each
    // pod has, or else kubernetes.default.svc. A name without a port is one of the cluster's domain
    // unless it ends with a dot.
    std::string kubernetes_master = {};
    std::chrono::milliseconds polling_interval{5000};
    std::chrono::milliseconds timeout{15'000};  // of one look
  };

  /// Throws std::invalid_argument for options that are wrong.
  explicit kubernetes(options options);
  std::string_view name() const noexcept override { return "kubernetes"; }
  std::vector<std::string> look() override;
  std::chrono::milliseconds interval() const noexcept override { return options_.polling_interval; }

 private:
  options options_;
  std::string domain_;  // of the cluster
  std::string server_;  // https://host:port
};

}  // namespace roost::discovery
