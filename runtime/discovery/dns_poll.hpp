// runtime/discovery/dns_poll.hpp
//
// The nodes are the addresses of a name: basename@10.0.0.1, basename@10.0.0.2, … libcluster's
// Cluster.Strategy.DNSPoll; with several names or SRV records, what dns_cluster does as well.
//
//   std::make_shared<roost::discovery::dns_poll>(
//       roost::discovery::dns_poll::options{.query = {"app.example.com"}, .node_basename = "app"});
//
// A name that nobody has, or that has no such records, means that there are no nodes. When the
// server cannot be asked the look fails, so that the last answer holds.
#pragma once
#include "runtime/discovery/strategy.hpp"

namespace roost::discovery {

class dns_nodes;

class dns_poll final : public strategy {
 public:
  struct options {
    std::vector<std::string> query;                           // required
    std::string node_basename;                                // required: the part before @
    std::vector<std::string> resource_types = {"a", "aaaa"};  // and srv, whose targets are hosts
    std::chrono::milliseconds polling_interval{5000};
    std::string server = {};                  // address:port; empty: those of /etc/resolv.conf
    std::chrono::milliseconds timeout{5000};  // for each question
  };

  /// Throws std::invalid_argument for options that are wrong.
  explicit dns_poll(options options);
  ~dns_poll() override;
  std::string_view name() const noexcept override { return "dns_poll"; }
  std::vector<std::string> look() override;
  std::chrono::milliseconds interval() const noexcept override { return interval_; }

 private:
  std::unique_ptr<dns_nodes> nodes_;
  std::chrono::milliseconds interval_;
};

}  // namespace roost::discovery
