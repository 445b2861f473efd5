// private: what the API of Kubernetes answers, as far as discovery needs it.
//
//   for (auto& pod : roost::discovery::read_endpoints(body)) …   // pod.ip is "10.0.0.7"
//
// Pure. Thread safety: any thread. Source: Kubernetes API v1, EndpointsList, PodList and Status.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace roost::discovery {

struct pod_address {
  std::string ip;
  std::string hostname;    // empty: it has none
  std::string namespace_;  // empty: not told
};

/// The addresses that are ready, in their order. Throws std::runtime_error when it is no list of
/// endpoints.
std::vector<pod_address> read_endpoints(std::string_view json);

/// The pods that have an address and have not ended. Those that are about to end are among them:
/// they are there until they are gone. Throws std::runtime_error when it is no list of pods.
std::vector<pod_address> read_pods(std::string_view json);

/// The sentence of a refusal; empty if there is none in it.
std::string read_status_message(std::string_view json);

}  // namespace roost::discovery
