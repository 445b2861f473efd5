#include "runtime/discovery/topologies.hpp"
#include "runtime/discovery/dns_poll.hpp"
#include "runtime/discovery/ec2_tags.hpp"
#include "runtime/discovery/epmd.hpp"
#include "runtime/discovery/gossip.hpp"
#include "runtime/discovery/hosts_file.hpp"
#include "runtime/discovery/kubernetes.hpp"
#include "runtime/discovery/kubernetes_dns.hpp"
#include "runtime/discovery/kubernetes_dns_srv.hpp"
#include "runtime/discovery/local.hpp"
#include "runtime/net/http_client.hpp"
#include "runtime/node_table.hpp"
#include <arpa/inet.h>
#include <algorithm>
#include <array>
#include <optional>

namespace roost::discovery {
namespace {

using std::chrono::milliseconds;
using texts = std::vector<std::string>;
using made = std::shared_ptr<strategy>;

// --- values --------------------------------------------------------------------------------------

/// libcluster's timeouts: a time, or infinity for a strategy that looks once.
milliseconds timeout_of(const config& section, milliseconds fallback) {
  auto timeout = section.get<milliseconds>("timeout", fallback);
  return timeout == milliseconds::max() ? milliseconds(-1) : timeout;
}

milliseconds polling_interval_of(const config& section) {
  auto interval = section.get<milliseconds>("polling_interval", milliseconds(5000));
  if (interval < milliseconds(100) || interval == milliseconds::max())
    throw section.error("polling_interval", "at least 100ms");
  return interval;
}

std::string word_of(const config& section, std::string_view key, std::string_view expectation) {
  auto word = section.require<std::string>(key);
  bool odd = word.empty() || word.size() > 255 ||
             std::any_of(word.begin(), word.end(), [](unsigned char c) {
               return c <= ' ' || c == '@' || c == 0x7f;
             });
  if (odd) throw section.error(key, expectation);
  return word;
}

std::string basename_of(const config& section, std::string_view key) {
  return word_of(section, key, "the part of node names before @");
}

std::string host_of(const config& section, std::string_view key) {
  return word_of(section, key, "a name in DNS");
}

texts nodes_of(const config& section, std::string_view key) {
  auto nodes = section.get<texts>(key, {});
  for (auto& node : nodes)
    if (!detail::is_node_name(node))
      throw section.error(key, "a list of nodes, name@host each, without " + node);
  return nodes;
}

std::string ipv4_of(const config& section, std::string_view key, std::string fallback) {
  auto text = section.get<std::string>(key, std::move(fallback));
  in_addr address{};
  if (!text.empty() && ::inet_pton(AF_INET, text.c_str(), &address) != 1)
    throw section.error(key, "an IPv4 address");
  return text;
}

texts resource_types_of(const config& section, texts fallback) {
  auto types = section.get<texts>("resource_types", std::move(fallback));
  bool known = std::all_of(types.begin(), types.end(), [](auto& type) {
    return type == "a" || type == "aaaa" || type == "srv";
  });
  if (types.empty() || !known) throw section.error("resource_types", "a list of a, aaaa and srv");
  return types;
}

/// address:port, or [address]:port. c-ares would only tell at the first look.
std::string server_of(const config& section) {
  auto server = section.get<std::string>("server", "");
  if (server.empty()) return server;
  auto colon = server.rfind(':');
  auto host = server.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  in6_addr address{};
  bool is_address = ::inet_pton(AF_INET, host.c_str(), &address) == 1 ||
                    ::inet_pton(AF_INET6, host.c_str(), &address) == 1;
  auto port = colon == server.npos ? std::string() : server.substr(colon + 1);
  bool is_port = !port.empty() && port.size() <= 5 &&
                 std::all_of(port.begin(), port.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!is_address || !is_port) throw section.error("server", "address:port of a name server");
  return server;
}

std::string text_of(const config& section, std::string_view key, std::string_view expectation) {
  auto text = section.require<std::string>(key);
  if (text.empty()) throw section.error(key, expectation);
  return text;
}

std::string url_of(const config& section, std::string_view key, std::string fallback) {
  auto text = section.get<std::string>(key, std::move(fallback));
  try {
    if (text.empty() || net::parse_http_url(text).target == "/") return text;
  } catch (const net::http_error&) {
    // Told with its place below.
  }
  throw section.error(key, "http://host[:port] or https://host[:port]");
}

template <class T>
struct choice {
  std::string_view name;
  T value;
};

/// The first one is the default.
template <class T, std::size_t N>
T choice_of(const config& section, std::string_view key, const choice<T> (&choices)[N]) {
  auto name = section.get<std::string>(key, std::string(choices[0].name));
  std::string known;
  for (auto& each : choices) {
    if (name == each.name) return each.value;
    known += (known.empty() ? "" : ", ") + std::string(each.name);
  }
  throw section.error(key, "one of " + known);
}

// --- strategies ----------------------------------------------------------------------------------

made make_epmd(const config& section, const bindings&) {
  return std::make_shared<epmd>(epmd::options{
      .hosts = nodes_of(section, "hosts"), .timeout = timeout_of(section, milliseconds(-1))});
}

made make_local(const config& section, const bindings& node) {
  return std::make_shared<local>(
      local::options{.timeout = timeout_of(section, milliseconds(5000))}, node);
}

made make_hosts_file(const config& section, const bindings& node) {
  return std::make_shared<hosts_file>(
      hosts_file::options{
          .timeout = timeout_of(section, milliseconds(5000)),
          .directories = section.get<texts>("directories", {})},
      node);
}

made make_gossip(const config& section, const bindings& node) {
  gossip::options options;
  options.port = section.get_in<std::uint16_t>("port", options.port, 1, 65535);
  options.if_addr = ipv4_of(section, "if_addr", options.if_addr);
  options.multicast_addr = ipv4_of(section, "multicast_addr", options.multicast_addr);
  options.multicast_if = ipv4_of(section, "multicast_if", {});
  options.multicast_ttl = section.get_in<int>("multicast_ttl", 1, 0, 255);
  options.broadcast_only = section.get("broadcast_only", false);
  options.secret = section.get<std::string>("secret", "");
  if (!options.broadcast_only) {
    in_addr group{};
    if (::inet_pton(AF_INET, options.multicast_addr.c_str(), &group) != 1 ||
        !IN_MULTICAST(ntohl(group.s_addr)))
      throw section.error("multicast_addr", "a multicast address, unless broadcast_only is set");
  }
  return std::make_shared<gossip>(std::move(options), node);
}

made make_dns_poll(const config& section, const bindings&) {
  auto names = section.require<texts>("query");
  if (names.empty() ||
      std::any_of(names.begin(), names.end(), [](auto& each) { return each.empty(); }))
    throw section.error("query", "a name in DNS, or several");
  return std::make_shared<dns_poll>(dns_poll::options{
      .query = std::move(names),
      .node_basename = basename_of(section, "node_basename"),
      .resource_types = resource_types_of(section, {"a", "aaaa"}),
      .polling_interval = polling_interval_of(section),
      .server = server_of(section)});
}

made make_kubernetes_dns(const config& section, const bindings&) {
  return std::make_shared<kubernetes_dns>(kubernetes_dns::options{
      .service = host_of(section, "service"),
      .application_name = basename_of(section, "application_name"),
      .resource_types = resource_types_of(section, {"a"}),
      .polling_interval = polling_interval_of(section),
      .server = server_of(section)});
}

made make_kubernetes_dns_srv(const config& section, const bindings&) {
  return std::make_shared<kubernetes_dns_srv>(kubernetes_dns_srv::options{
      .service = host_of(section, "service"),
      .application_name = basename_of(section, "application_name"),
      .namespace_ = host_of(section, "namespace"),
      .polling_interval = polling_interval_of(section),
      .server = server_of(section)});
}

made make_kubernetes(const config& section, const bindings&) {
  using naming = kubernetes::naming;
  using lookup = kubernetes::lookup;
  kubernetes::options options;
  options.kubernetes_node_basename = basename_of(section, "kubernetes_node_basename");
  options.kubernetes_selector =
      text_of(section, "kubernetes_selector", "labels of pods, as app=myapp");
  options.kubernetes_namespace = section.get<std::string>("kubernetes_namespace", "");
  options.mode = choice_of<naming>(
      section, "mode", {{"ip", naming::ip}, {"dns", naming::dns}, {"hostname", naming::hostname}});
  if (options.mode == naming::hostname || section.has("kubernetes_service_name"))
    options.kubernetes_service_name = host_of(section, "kubernetes_service_name");
  options.kubernetes_ip_lookup_mode = choice_of<lookup>(
      section, "kubernetes_ip_lookup_mode",
      {{"endpoints", lookup::endpoints}, {"pods", lookup::pods}});
  options.kubernetes_use_cached_resources = section.get("kubernetes_use_cached_resources", false);
  options.kubernetes_cluster_name =
      section.get("kubernetes_cluster_name", options.kubernetes_cluster_name);
  options.kubernetes_service_account_path =
      section.get("kubernetes_service_account_path", options.kubernetes_service_account_path);
  options.kubernetes_master = section.get<std::string>("kubernetes_master", "");
  options.polling_interval = polling_interval_of(section);
  try {
    return std::make_shared<kubernetes>(std::move(options));
  } catch (const std::invalid_argument&) {
    throw section.error("kubernetes_master", "host or host:port");  // all else has been checked
  }
}

made make_ec2_tags(const config& section, const bindings&) {
  using address = ec2_tags::address;
  ec2_tags::options options;
  options.ec2_tagname = text_of(section, "ec2_tagname", "the name of a tag");
  options.ec2_tagvalue = section.get<std::string>("ec2_tagvalue", "");
  if (section.has("app_prefix")) options.app_prefix = basename_of(section, "app_prefix");
  options.ip_type = choice_of<address>(
      section, "ip_type",
      {{"private", address::private_ip},
       {"public", address::public_ip},
       {"private_dns", address::private_dns}});
  options.region = section.get<std::string>("region", "");
  options.endpoint = url_of(section, "endpoint", "");
  options.metadata_endpoint = url_of(section, "metadata_endpoint", options.metadata_endpoint);
  options.polling_interval = polling_interval_of(section);
  return std::make_shared<ec2_tags>(std::move(options));
}

struct kind {
  std::string_view name;
  std::string_view alias;  // libcluster's, without Elixir. and Cluster.Strategy.
  bool disconnects;        // nodes that vanished, unless the configuration says otherwise
  made (*make)(const config& section, const bindings& node);
};

// All there are: a new strategy is one more line.
constexpr std::array kinds{
    kind{"epmd", "Epmd", false, make_epmd},
    kind{"local", "LocalEpmd", false, make_local},
    kind{"hosts_file", "ErlangHosts", false, make_hosts_file},
    kind{"gossip", "Gossip", false, make_gossip},
    kind{"dns_poll", "DNSPoll", true, make_dns_poll},
    kind{"kubernetes", "Kubernetes", true, make_kubernetes},
    kind{"kubernetes_dns", "Kubernetes.DNS", true, make_kubernetes_dns},
    kind{"kubernetes_dns_srv", "Kubernetes.DNSSRV", true, make_kubernetes_dns_srv},
    kind{"ec2_tags", "ClusterEC2.Strategy.Tags", true, make_ec2_tags},
};

const kind* find_kind(std::string_view name) {
  for (std::string_view prefix : {"Elixir.", "Cluster.Strategy."})
    if (name.starts_with(prefix)) name.remove_prefix(prefix.size());
  for (auto& kind : kinds)
    if (name == kind.name || name == kind.alias) return &kind;
  return nullptr;
}

const kind& kind_of(const config& section) {
  auto* found = find_kind(section.require<std::string>("strategy"));
  if (found != nullptr) return *found;
  std::string known;
  for (auto& name : strategy_names()) known += (known.empty() ? "" : ", ") + name;
  throw section.error("strategy", "one of " + known);
}

topology read_topology(const std::string& name, const config& section, const bindings& node) {
  auto& kind = kind_of(section);
  auto disconnects = section.get("disconnect_vanished", kind.disconnects);
  return {.name = name, .how = kind.make(section, node), .disconnect_vanished = disconnects};
}

}  // namespace

settings read_topologies(const config& whole, const bindings& node) {
  settings result;
  auto cluster = whole.section("cluster");
  result.alarm_after = cluster.get<milliseconds>("alarm_after", result.alarm_after);
  if (auto hosts = nodes_of(cluster, "hosts"); !hosts.empty())
    result.topologies.push_back(
        {.name = "hosts",
         .how = std::make_shared<epmd>(epmd::options{.hosts = std::move(hosts)}),
         .disconnect_vanished = false});
  auto topologies = cluster.section("topologies");
  for (auto& name : cluster.keys("topologies"))
    result.topologies.push_back(read_topology(name, topologies.section(name), node));
  return result;
}

std::vector<std::string> strategy_names() {
  std::vector<std::string> names;
  for (auto& kind : kinds) names.emplace_back(kind.name);
  return names;
}

}  // namespace roost::discovery
