#include "runtime/discovery/topologies.hpp"
#include <doctest/doctest.h>
#include <functional>

using namespace roost::discovery;
using namespace std::chrono_literals;
using roost::config;
using names = std::vector<std::string>;

namespace {

bindings nobody() {
  return {
      .self = [] { return std::string("me@h"); },
      .cookie = [] { return std::string("a cookie that is long enough"); },
      .names = [](const std::string&) { return names{}; }};
}

settings read(std::string_view text, const names& overrides = {}) {
  auto conf = config::from_text(text, "conf/app.yaml", overrides);
  auto result = read_topologies(conf, nobody());
  conf.check_unknown();
  return result;
}

std::string failure(std::string_view text) {
  try {
    read(text);
  } catch (const roost::config_error& error) {
    return error.what();
  }
  return "no error";
}

/// One topology of that strategy with those keys.
settings one(const std::string& keys) { return read("cluster: {topologies: {x: {" + keys + "}}}"); }
std::string failure_of(const std::string& keys) {
  return failure("cluster:\n  topologies:\n    x: {" + keys + "}\n");
}

}  // namespace

TEST_CASE("without a section there are no topologies, and the alarm has its default") {
  auto settings = read("");
  CHECK(settings.topologies.empty());
  CHECK(settings.alarm_after == 30s);
  CHECK(read("cluster: {alarm_after: 0}").alarm_after == 0s);
  CHECK(read("cluster: {alarm_after: 2m}").alarm_after == 2min);
}

TEST_CASE("hosts is short for one static topology, from the file or the command line") {
  auto settings = read("cluster: {hosts: [b@127.0.0.1, c@127.0.0.1]}");
  REQUIRE(settings.topologies.size() == 1);
  CHECK(settings.topologies[0].name == "hosts");
  CHECK(settings.topologies[0].how->name() == "epmd");
  CHECK(settings.topologies[0].how->look() == names{"b@127.0.0.1", "c@127.0.0.1"});
  CHECK(settings.topologies[0].how->interval() < 0ms);
  auto given = read("", {"cluster.hosts=[b@127.0.0.1]"});
  REQUIRE(given.topologies.size() == 1);
  CHECK(given.topologies[0].how->look() == names{"b@127.0.0.1"});
  CHECK(
      failure("cluster:\n  hosts: [b]\n") ==
      "expected cluster.hosts to be a list of nodes, name@host each, without b, got a list "
      "(conf/app.yaml:2)");
}

TEST_CASE("several topologies are read in their order, with libcluster's defaults") {
  auto settings = read(
      "cluster:\n"
      "  hosts: [b@127.0.0.1]\n"
      "  topologies:\n"
      "    k8s: {strategy: kubernetes_dns, service: myapp-headless, application_name: myapp}\n"
      "    sts: {strategy: kubernetes_dns_srv, service: s, application_name: a, namespace: n}\n"
      "    dns: {strategy: dns_poll, query: app.example.com, node_basename: app}\n"
      "    multicast: {strategy: gossip}\n"
      "    here: {strategy: local}\n"
      "    file: {strategy: hosts_file}\n");
  auto& all = settings.topologies;
  REQUIRE(all.size() == 7);
  names order;
  for (auto& topology : all) order.push_back(topology.name);
  CHECK(order == names{"hosts", "k8s", "sts", "dns", "multicast", "here", "file"});
  for (int i : {1, 2, 3}) {
    CHECK(all[static_cast<std::size_t>(i)].how->interval() == 5s);
    CHECK(all[static_cast<std::size_t>(i)].disconnect_vanished);
  }
  for (int i : {0, 4, 5, 6}) CHECK_FALSE(all[static_cast<std::size_t>(i)].disconnect_vanished);
}

TEST_CASE("strategies go by libcluster's names as well") {
  auto name = [](const std::string& strategy, const std::string& more = "") {
    return std::string(one("strategy: " + strategy + more).topologies.at(0).how->name());
  };
  CHECK(name("Cluster.Strategy.Epmd", ", hosts: [a@h]") == "epmd");
  CHECK(name("Elixir.Cluster.Strategy.LocalEpmd") == "local");
  CHECK(name("ErlangHosts") == "hosts_file");
  CHECK(name("Cluster.Strategy.Gossip") == "gossip");
  CHECK(name("DNSPoll", ", query: q, node_basename: b") == "dns_poll");
  CHECK(
      name(
          "Cluster.Strategy.Kubernetes",
          ", kubernetes_node_basename: a, kubernetes_selector: a=b") == "kubernetes");
  CHECK(name("Elixir.ClusterEC2.Strategy.Tags", ", ec2_tagname: a") == "ec2_tags");
  CHECK(name("ClusterEC2.Strategy.Tags", ", ec2_tagname: a") == "ec2_tags");
  CHECK(name("Kubernetes.DNS", ", service: s, application_name: a") == "kubernetes_dns");
  CHECK(
      name(
          "Cluster.Strategy.Kubernetes.DNSSRV",
          ", service: s, application_name: a, namespace: n") == "kubernetes_dns_srv");
}

TEST_CASE("an unknown strategy is told with those there are") {
  std::string known;
  for (auto& name : strategy_names()) known += (known.empty() ? "" : ", ") + name;
  CHECK(
      failure_of("strategy: zookeeper") == "expected cluster.topologies.x.strategy to be one of " +
                                               known + ", got zookeeper (conf/app.yaml:3)");
  CHECK(
      failure_of("service: a") ==
      "expected cluster.topologies.x.strategy to be set, got nothing (conf/app.yaml)");
}

TEST_CASE("options that are missing or wrong are told with their place") {
  auto tells = [](const std::string& keys, std::string_view sentence) {
    auto said = failure_of(keys);
    CAPTURE(said);
    CHECK(said.find(sentence) != said.npos);
  };
  tells("strategy: kubernetes_dns, application_name: a", "x.service to be set");
  tells("strategy: kubernetes_dns, service: s", "x.application_name to be set");
  tells(
      "strategy: kubernetes_dns, service: s, application_name: a@b",
      "x.application_name to be the part of node names before @, got a@b (conf/app.yaml:3)");
  tells("strategy: kubernetes_dns_srv, service: s, application_name: a", "x.namespace to be set");
  tells("strategy: dns_poll, node_basename: b", "x.query to be set");
  tells("strategy: dns_poll, node_basename: b, query: []", "x.query to be a name in DNS");
  tells("strategy: dns_poll, query: q", "x.node_basename to be set");
  tells(
      "strategy: dns_poll, query: q, node_basename: b, polling_interval: 1ms",
      "x.polling_interval to be at least 100ms, got 1ms");
  tells(
      "strategy: dns_poll, query: q, node_basename: b, resource_types: [mx]",
      "x.resource_types to be a list of a, aaaa and srv");
  tells(
      "strategy: dns_poll, query: q, node_basename: b, server: nowhere",
      "x.server to be address:port of a name server, got nowhere");
  std::string k8s = "strategy: kubernetes, kubernetes_node_basename: a, kubernetes_selector: app=a";
  CHECK(failure_of(k8s) == "no error");
  tells("strategy: kubernetes, kubernetes_selector: app=a", "x.kubernetes_node_basename to be set");
  tells("strategy: kubernetes, kubernetes_node_basename: a", "x.kubernetes_selector to be set");
  tells(k8s + ", mode: fqdn", "x.mode to be one of ip, dns, hostname, got fqdn (conf/app.yaml:3)");
  tells(k8s + ", mode: hostname", "x.kubernetes_service_name to be set");
  tells(
      k8s + ", kubernetes_ip_lookup_mode: nodes",
      "x.kubernetes_ip_lookup_mode to be one of endpoints, pods, got nodes");
  tells(
      k8s + ", kubernetes_master: \"h:1/a\"",
      "x.kubernetes_master to be host or host:port, got h:1/a");
  tells("strategy: ec2_tags", "x.ec2_tagname to be set");
  tells(
      "strategy: ec2_tags, ec2_tagname: a, ip_type: any",
      "x.ip_type to be one of private, public, private_dns, got any");
  tells(
      "strategy: ec2_tags, ec2_tagname: a, endpoint: ec2.example.com",
      "x.endpoint to be http://host[:port] or https://host[:port], got ec2.example.com");
  tells(
      "strategy: ec2_tags, ec2_tagname: a, app_prefix: a@b",
      "x.app_prefix to be the part of node names before @, got a@b");
  tells("strategy: gossip, port: 70000", "x.port to be 1–65535, got 70000");
  tells("strategy: gossip, if_addr: eth0", "x.if_addr to be an IPv4 address, got eth0");
  tells("strategy: gossip, multicast_ttl: 256", "x.multicast_ttl to be 0–255");
  tells(
      "strategy: gossip, multicast_addr: 10.0.0.255",
      "x.multicast_addr to be a multicast address, unless broadcast_only is set");
  tells("strategy: epmd, hosts: [a]", "x.hosts to be a list of nodes");
  tells("strategy: local, hosts: [a@h]", "got hosts (conf/app.yaml:3)");
}

TEST_CASE("options are taken") {
  auto dns =
      one("strategy: dns_poll, query: [a, b], node_basename: app, polling_interval: 10s, "
          "resource_types: [srv], server: \"[::1]:5353\", disconnect_vanished: false");
  CHECK(dns.topologies[0].how->interval() == 10s);
  CHECK_FALSE(dns.topologies[0].disconnect_vanished);
  CHECK(one("strategy: local, timeout: infinity").topologies[0].how->interval() < 0ms);
  CHECK(one("strategy: hosts_file, timeout: 30000").topologies[0].how->interval() == 30s);
  CHECK(one("strategy: epmd, hosts: [a@h], timeout: 30s").topologies[0].how->interval() == 30s);
  CHECK_NOTHROW(one("strategy: gossip, broadcast_only: true, multicast_addr: 255.255.255.255"));
  CHECK_NOTHROW(
      one("strategy: gossip, port: 45893, if_addr: 127.0.0.1, multicast_if: 127.0.0.1, "
          "multicast_addr: 239.1.2.3, multicast_ttl: 4, secret: somepassword"));
}
