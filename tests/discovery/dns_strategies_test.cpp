#include "runtime/discovery/cluster.hpp"
#include "runtime/discovery/dns_poll.hpp"
#include "runtime/discovery/kubernetes_dns.hpp"
#include "runtime/discovery/kubernetes_dns_srv.hpp"
#include "tests/net/name_server.hpp"
#include <cstdlib>
#include <set>

using namespace roost::discovery;
using namespace roost::test;
using names = std::vector<std::string>;

namespace {

/// What a look answers, or its error.
names look(strategy& how) {
  try {
    return how.look();
  } catch (const std::runtime_error& error) {
    return {"error"};
  }
}

dns_poll poll_of(const dnsmasq& server, names query = {"app.test."}) {
  return dns_poll({.query = std::move(query), .node_basename = "app", .server = server.server()});
}

}  // namespace

TEST_CASE_FIXTURE(dnsmasq, "dns_poll follows the A and AAAA records of a name") {
  auto how = poll_of(*this);
  CHECK(how.interval() == 5s);
  hosts({"10.0.0.1 app.test", "fd00::1 app.test", "10.0.0.9 other.test"});
  CHECK(eventually([&] { return look(how) == names{"app@10.0.0.1", "app@fd00::1"}; }));
  hosts({"10.0.0.1 app.test", "10.0.0.2 app.test"});
  CHECK(eventually([&] { return look(how) == names{"app@10.0.0.1", "app@10.0.0.2"}; }));
  hosts({});
  CHECK(eventually([&] { return look(how).empty(); }));
}

TEST_CASE_FIXTURE(dnsmasq, "dns_poll asks for several names, and for the targets of services") {
  services({"_app._tcp.test,one.app.test,4000", "_app._tcp.test,two.app.test,4000"});
  hosts({"10.0.0.1 app.test", "10.0.0.2 web.test"});
  auto several = poll_of(*this, {"app.test.", "web.test.", "nobody.test."});
  CHECK(eventually([&] { return look(several) == names{"app@10.0.0.1", "app@10.0.0.2"}; }));
  dns_poll targets(
      {.query = {"_app._tcp.test."},
       .node_basename = "app",
       .resource_types = {"srv"},
       .server = server()});
  CHECK(look(targets) == names{"app@one.app.test", "app@two.app.test"});
}

TEST_CASE_FIXTURE(dnsmasq, "a dead server is an error, a name that nobody has is nobody") {
  log_capture log;
  auto how = poll_of(*this);
  CHECK(look(how).empty());
  CHECK(look(how).empty());
  CHECK(log.saw("", "no such name in DNS, so no nodes strategy=dns_poll name=app.test."));
  CHECK(log.count("") == 1);
  stop();
  CHECK(look(how) == names{"error"});
  start();
  CHECK(look(how).empty());
  CHECK(log.count("") == 1);  // nothing is known to have changed
  hosts({"10.0.0.1 app.test"});
  CHECK(eventually([&] { return look(how) == names{"app@10.0.0.1"}; }));
}

TEST_CASE("records of one kind that cannot be had are those of the answer before") {
  log_capture log;
  std::atomic<bool> broken = false;
  std::atomic<int> last = 1;
  odd_name_server server([&](std::string question) {
    bool is_a = type_in(question) == 1;
    if (!is_a && broken) return reply_to(question, 2);
    std::string a("\0\1\0\1\0\0\0\0\0\4\x0a\0\0", 13);
    std::string aaaa("\0\x1c\0\1\0\0\0\0\0\x10\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 26);
    return reply_to(question, 0, {is_a ? a + static_cast<char>(last.load()) : aaaa});
  });
  dns_poll how({.query = {"app.test."}, .node_basename = "app", .server = server.server()});
  CHECK(look(how) == names{"app@10.0.0.1", "app@fd00::1"});
  broken = true;
  last = 2;
  CHECK(look(how) == names{"app@10.0.0.2", "app@fd00::1"});
  CHECK(look(how) == names{"app@10.0.0.2", "app@fd00::1"});
  CHECK(log.count("") == 1);
  CHECK(log.saw("", "some nodes are those of an earlier answer of DNS"));
}

TEST_CASE("nobody at A is not believed while AAAA cannot be asked") {
  odd_name_server server(
      [&](std::string question) { return reply_to(question, type_in(question) == 1 ? 0 : 2); });
  dns_poll how({.query = {"app.test."}, .node_basename = "app", .server = server.server()});
  CHECK(look(how) == names{"error"});
}

TEST_CASE_FIXTURE(dnsmasq, "kubernetes_dns finds the pods of a headless service") {
  kubernetes_dns how(
      {.service = "myapp-headless.default.svc.cluster.local.",
       .application_name = "myapp",
       .server = server()});
  CHECK(how.interval() == 5s);
  hosts(
      {"10.1.0.95 myapp-headless.default.svc.cluster.local",
       "10.1.0.96 myapp-headless.default.svc.cluster.local",
       "fd00::1 myapp-headless.default.svc.cluster.local"});
  CHECK(eventually([&] { return look(how) == names{"myapp@10.1.0.95", "myapp@10.1.0.96"}; }));
  hosts({"10.1.0.96 myapp-headless.default.svc.cluster.local"});
  CHECK(eventually([&] { return look(how) == names{"myapp@10.1.0.96"}; }));
  hosts({});  // scaled to nothing
  CHECK(eventually([&] { return look(how).empty(); }));
}

TEST_CASE_FIXTURE(dnsmasq, "kubernetes_dns_srv finds the pods of a stateful set by name") {
  kubernetes_dns_srv how(
      {.service = "web", .application_name = "myapp", .namespace_ = "default", .server = server()});
  CHECK(look(how).empty());
  std::string record = "web.default.svc.cluster.local,web-N.web.default.svc.cluster.local,4000";
  auto pod = [&](char number) {
    auto one = record;
    one[one.find('N')] = number;
    return one;
  };
  services({pod('0'), pod('1')});
  CHECK(
      look(how) == names{
                       "myapp@web-0.web.default.svc.cluster.local",
                       "myapp@web-1.web.default.svc.cluster.local"});
  services({pod('1')});
  CHECK(look(how) == names{"myapp@web-1.web.default.svc.cluster.local"});
}

TEST_CASE_FIXTURE(dnsmasq, "the domain of the cluster may be another one") {
  ::setenv("CLUSTER_DOMAIN", "k8s.test", 1);
  kubernetes_dns_srv how(
      {.service = "web", .application_name = "a", .namespace_ = "prod", .server = server()});
  ::unsetenv("CLUSTER_DOMAIN");
  services({"web.prod.svc.k8s.test,web-0.web.prod.svc.k8s.test,4000"});
  CHECK(look(how) == names{"a@web-0.web.prod.svc.k8s.test"});
}

TEST_CASE_FIXTURE(dnsmasq, "nodes are connected and disconnected as records come and go") {
  std::mutex mutex;
  std::set<std::string> connected;
  hooks hooks{
      .connect =
          [&](auto& node, auto done) {
            std::lock_guard guard{mutex};
            connected.insert(node);
            done(connect_result::connected);
          },
      .disconnect =
          [&](auto& node, auto done) {
            std::lock_guard guard{mutex};
            connected.erase(node);
            done(disconnect_result::disconnected);
          },
      .list =
          [&] {
            std::lock_guard guard{mutex};
            return names(connected.begin(), connected.end());
          },
      .self = [] { return std::string("app@10.0.0.1"); }};
  roost::runtime runtime{{.schedulers = 2}};
  log_capture log;
  auto is = [&](const names& nodes) { return eventually([&] { return hooks.list() == nodes; }); };
  hosts({"10.0.0.1 app.test", "10.0.0.2 app.test"});
  auto topology = start_link(
      {.name = "dns",
       .how = std::make_shared<dns_poll>(dns_poll::options{
           .query = {"app.test."},
           .node_basename = "app",
           .polling_interval = 20ms,
           .server = server(),
           .timeout = 500ms})},
      hooks);
  CHECK(is({"app@10.0.0.2"}));
  hosts({"10.0.0.1 app.test", "10.0.0.3 app.test"});
  CHECK(is({"app@10.0.0.3"}));
  auto status = [&] { return roost::call(topology, cluster::get_status{}).get(); };
  stop();
  CHECK(eventually([&] { return status().failed_looks > 2; }));
  CHECK(hooks.list() == names{"app@10.0.0.3"});
  start();
  CHECK(eventually([&] { return status().error.empty(); }));
  hosts({});
  CHECK(is({}));
  roost::stop(topology).get();
}
