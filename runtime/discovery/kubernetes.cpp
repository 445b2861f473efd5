#include "runtime/discovery/kubernetes.hpp"
#include "runtime/discovery/kubernetes_answer.hpp"
#include "runtime/net/http_client.hpp"
#include <arpa/inet.h>
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <stdexcept>

namespace roost::discovery {
namespace {

using options_t = kubernetes::options;

// Two thousand pods with all that is known about them are about 16 MiB.
constexpr std::size_t largest_answer = std::size_t{64} << 20;
constexpr std::size_t largest_file = std::size_t{64} << 10;

std::string variable(const char* name) {
  auto* value = std::getenv(name);
  return value != nullptr ? value : "";
}

std::string cluster_domain(const options_t& options) {
  auto domain = variable("CLUSTER_DOMAIN");
  if (domain.ends_with('.')) domain.pop_back();
  return domain.empty() ? options.kubernetes_cluster_name + ".local" : domain;
}

bool is_ipv6(const std::string& host) {
  in6_addr address{};
  return ::inet_pton(AF_INET6, host.c_str(), &address) == 1;
}

bool is_ipv4(const std::string& host) {
  in_addr address{};
  return ::inet_pton(AF_INET, host.c_str(), &address) == 1;
}

std::string bracketed(const std::string& host) { return is_ipv6(host) ? "[" + host + "]" : host; }

/// The host, and the port if it is not 443.
std::string master_of(const options_t& options, const std::string& domain) {
  auto master = options.kubernetes_master;
  if (master.empty()) {
    auto host = variable("KUBERNETES_SERVICE_HOST");
    auto port = variable("KUBERNETES_SERVICE_PORT");
    if (!host.empty()) return bracketed(host) + (port.empty() ? "" : ":" + port);
    master = "kubernetes.default.svc";
  }
  if (is_ipv6(master)) return bracketed(master);
  if (is_ipv4(master) || master.find(':') != master.npos || master.ends_with('.')) return master;
  // With its last dot the name is whole: search domains would only be asked in vain.
  return master.ends_with(domain) ? master + "." : master + "." + domain + ".";
}

/// Of the service account, without the newline at its end.
std::string read_file(const std::string& path) {
  std::ifstream file(path);
  std::string text(largest_file, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(std::max(std::streamsize{0}, file.gcount())));
  while (!text.empty() && static_cast<unsigned char>(text.back()) <= ' ') text.pop_back();
  if (text.empty())
    throw std::runtime_error(
        "expected " + path + " of the service account to be readable, got nothing");
  return text;
}

void require(bool holds, const char* sentence) {
  if (!holds) throw std::invalid_argument(sentence);
}

std::string node_of(const options_t& options, const pod_address& pod, const std::string& domain) {
  auto node = options.kubernetes_node_basename + "@";
  switch (options.mode) {
    case kubernetes::naming::ip:
      return node + pod.ip;
    case kubernetes::naming::dns: {
      auto dashes = pod.ip;
      std::replace_if(
          dashes.begin(), dashes.end(), [](char c) { return c == '.' || c == ':'; }, '-');
      return node + dashes + "." + pod.namespace_ + ".pod." + domain;
    }
    case kubernetes::naming::hostname:
      if (pod.hostname.empty()) return {};
      return node + pod.hostname + "." + options.kubernetes_service_name + "." + pod.namespace_ +
             ".svc." + domain;
  }
  return {};
}

std::runtime_error refusal(const std::string& url, const net::http_response& answer) {
  auto message = read_status_message(answer.body);
  return std::runtime_error(
      "expected " + net::parse_http_url(url).without_secrets() + " to answer with 200, got " +
      std::to_string(answer.status) + (message.empty() ? "" : ": " + message));
}

}  // namespace

kubernetes::kubernetes(options options)
    : options_(std::move(options)),
      domain_(cluster_domain(options_)),
      server_("https://" + master_of(options_, domain_)) {
  require(
      !options_.kubernetes_node_basename.empty(),
      "expected kubernetes_node_basename to be set, got nothing");
  require(
      !options_.kubernetes_selector.empty(), "expected kubernetes_selector to be set, got nothing");
  require(
      options_.mode != naming::hostname || !options_.kubernetes_service_name.empty(),
      "expected kubernetes_service_name to be set in the mode hostname, got nothing");
  try {
    require(
        net::parse_http_url(server_).target == "/",
        "expected kubernetes_master to be host[:port], got more");
  } catch (const net::http_error& error) {
    throw std::invalid_argument(std::string("the server of Kubernetes: ") + error.what());
  }
}

std::vector<std::string> kubernetes::look() {
  auto& account = options_.kubernetes_service_account_path;
  auto space = options_.kubernetes_namespace.empty() ? read_file(account + "/namespace")
                                                     : options_.kubernetes_namespace;
  bool by_pods = options_.kubernetes_ip_lookup_mode == lookup::pods;
  auto url = server_ + "/api/v1/namespaces/" + net::percent_encoded(space) +
             (by_pods ? "/pods" : "/endpoints") +
             "?labelSelector=" + net::percent_encoded(options_.kubernetes_selector) +
             (options_.kubernetes_use_cached_resources ? "&resourceVersion=0" : "");
  auto answer = net::ask_http(
      {.url = url,
       .headers =
           {{"authorization", "Bearer " + read_file(account + "/token")},
            {"accept", "application/json"}},
       .ca_file = account + "/ca.crt",
       .timeout = options_.timeout,
       .max_body = largest_answer});
  if (answer.status != 200) throw refusal(url, answer);
  std::vector<std::string> nodes;
  for (auto& pod : by_pods ? read_pods(answer.body) : read_endpoints(answer.body)) {
    if (pod.namespace_.empty()) pod.namespace_ = space;
    if (auto node = node_of(options_, pod, domain_); !node.empty()) nodes.push_back(node);
  }
  std::sort(nodes.begin(), nodes.end());
  nodes.erase(std::unique(nodes.begin(), nodes.end()), nodes.end());
  return nodes;
}

}  // namespace roost::discovery
