#include "runtime/discovery/kubernetes.hpp"
#include "runtime/discovery/kubernetes_answer.hpp"
#include "runtime/discovery/topologies.hpp"
#include "tests/net/http_server.hpp"
#include <cstdlib>
#include <stdexcept>

using namespace roost::discovery;
using namespace roost::test;
using names = std::vector<std::string>;

namespace {

struct pod {
  std::string name;
  std::string ip;
  bool ready = true;
  std::string phase = "Running";
  std::string more_metadata = "";
};

/// The API server of a cluster with one namespace, `prod`, whose pods all have the label app=myapp,
/// and the files that a pod of it finds.
class api_server {
 public:
  api_server() { give_token("first"); }

  void set(std::vector<pod> pods) {
    change([&] { pods_ = std::move(pods); });
  }
  /// The kubelet exchanges the file; the server refuses the token before.
  void give_token(const std::string& token) {
    change([&] { token_ = token; });
    files_.write("token", token + "\n");
  }
  void take_only_token(const std::string& token) {
    change([&] { token_ = token; });
  }
  void answer_with(reply reply) {
    change([&] { made_up_ = std::move(reply); });
  }
  std::string last_target() const {
    std::lock_guard guard{mutex_};
    return target_;
  }

  kubernetes::options options() const {
    return {
        .kubernetes_node_basename = "app",
        .kubernetes_selector = "app=myapp",
        .kubernetes_service_account_path = files_.path("."),
        .kubernetes_master = server_.address()};
  }
  const directory& files() const { return files_; }
  std::uint16_t port() const { return server_.port(); }
  std::string address() const { return server_.address(); }

 private:
  template <class F>
  void change(F function) {
    std::lock_guard guard{mutex_};
    function();
  }

  reply answer(const http_server::request& request) {
    std::lock_guard guard{mutex_};
    target_ = std::string(request.target());
    if (made_up_) return *made_up_;
    if (std::string(request["authorization"]) != "Bearer " + token_)
      return {401, R"({"kind":"Status","status":"Failure","message":"Unauthorized","code":401})"};
    auto target = target_.substr(0, target_.find('?'));
    auto query = target_.substr(target.size());
    bool all = query.starts_with("?labelSelector=app%3Dmyapp");
    if (target == "/api/v1/namespaces/prod/endpoints") return {200, endpoints(all)};
    if (target == "/api/v1/namespaces/prod/pods") return {200, pods(all)};
    return {
        403, R"({"kind":"Status","message":"endpoints is forbidden: User \"system:serviceaccount:)"
             R"(prod:default\" cannot list resource","reason":"Forbidden","code":403})"};
  }

  std::string endpoints(bool all) const {
    std::string ready, not_ready;
    for (auto& pod : pods_) {
      if (!all) break;
      auto& list = pod.ready ? ready : not_ready;
      list += (list.empty() ? "" : ",") + std::string(R"({"ip":")") + pod.ip + R"(","hostname":")" +
              pod.name + R"(","targetRef":{"kind":"Pod","name":")" + pod.name +
              R"(","namespace":"prod"}})";
    }
    return R"({"kind":"EndpointsList","apiVersion":"v1","metadata":{"resourceVersion":"7"},)"
           R"("items":[{"metadata":{"name":"web","namespace":"prod"},"subsets":[{"addresses":[)" +
           ready + R"(],"notReadyAddresses":[)" + not_ready +
           R"(],"ports":[{"port":4000}]}]},{"metadata":{"name":"empty"}}]})";
  }

  std::string pods(bool all) const {
    std::string items;
    for (auto& pod : pods_) {
      if (!all) break;
      items += (items.empty() ? "" : ",") + std::string(R"({"metadata":{"name":")") + pod.name +
               R"(","namespace":"prod")" + pod.more_metadata + R"(},"spec":{"hostname":")" +
               pod.name + R"("},"status":{"phase":")" + pod.phase + "\"" +
               (pod.ip.empty() ? "" : R"(,"podIP":")" + pod.ip + "\"") + "}}";
    }
    return R"({"kind":"PodList","items":[)" + items + "]}";
  }

  mutable std::mutex mutex_;
  std::string token_;
  std::string target_;
  std::vector<pod> pods_;
  std::optional<reply> made_up_;
  authority authority_;
  directory files_;
  std::string ca_ = files_.write("ca.crt", authority_.pem());
  std::string namespace_ = files_.write("namespace", "prod");
  http_server server_{
      [this](auto& request) { return answer(request); }, local_identity(authority_)};
};

std::string failure_of(kubernetes& how) {
  try {
    return "no error but " + std::to_string(how.look().size()) + " nodes";
  } catch (const std::runtime_error& error) {
    return error.what();
  }
}
std::string failure_of(const kubernetes::options& options) {
  kubernetes how(options);
  return failure_of(how);
}

bool contains(std::string_view text, std::string_view part) { return text.find(part) != text.npos; }

}  // namespace

TEST_CASE_FIXTURE(api_server, "kubernetes follows the endpoints that a selector names") {
  kubernetes how(options());
  CHECK(how.name() == "kubernetes");
  CHECK(how.interval() == 5s);
  CHECK(how.look().empty());
  set({{"a", "10.0.0.1"}, {"b", "10.0.0.2"}, {"c", "10.0.0.3", false}});
  CHECK(how.look() == names{"app@10.0.0.1", "app@10.0.0.2"});
  CHECK(last_target() == "/api/v1/namespaces/prod/endpoints?labelSelector=app%3Dmyapp");
  set({{"b", "10.0.0.2"}, {"c", "10.0.0.3"}, {"d", "fd00::1"}});
  CHECK(how.look() == names{"app@10.0.0.2", "app@10.0.0.3", "app@fd00::1"});
  auto others = options();
  others.kubernetes_selector = "app in (other,third)";
  CHECK(kubernetes(others).look().empty());
  CHECK(last_target().ends_with("?labelSelector=app%20in%20%28other%2Cthird%29"));
}

TEST_CASE_FIXTURE(api_server, "pods are found without a service, those that have ended are not") {
  auto by_pods = options();
  by_pods.kubernetes_ip_lookup_mode = kubernetes::lookup::pods;
  by_pods.kubernetes_use_cached_resources = true;
  set(
      {{"a", "10.0.0.1"},
       {"not-ready", "10.0.0.2", false},
       {"no-address-yet", "", false, "Pending"},
       {"evicted", "10.0.0.3", false, "Failed"},
       {"done", "10.0.0.4", false, "Succeeded"},
       {"leaving", "10.0.0.5", false, "Running",
        R"(,"deletionTimestamp":"2026-01-01T00:00:00Z")"}});
  CHECK(kubernetes(by_pods).look() == names{"app@10.0.0.1", "app@10.0.0.2", "app@10.0.0.5"});
  CHECK(
      last_target() == "/api/v1/namespaces/prod/pods?labelSelector=app%3Dmyapp&resourceVersion=0");
}

TEST_CASE_FIXTURE(api_server, "nodes may have names in the cluster's DNS") {
  set({{"web-0", "10.0.0.1"}, {"web-1", "fd00::1"}});
  auto named = options();
  named.mode = kubernetes::naming::dns;
  names dns{"app@10-0-0-1.prod.pod.cluster.local", "app@fd00--1.prod.pod.cluster.local"};
  CHECK(kubernetes(named).look() == dns);
  named.kubernetes_ip_lookup_mode = kubernetes::lookup::pods;
  CHECK(kubernetes(named).look() == dns);
  named.mode = kubernetes::naming::hostname;
  named.kubernetes_service_name = "web";
  named.kubernetes_cluster_name = "k8s";
  names hostnames{"app@web-0.web.prod.svc.k8s.local", "app@web-1.web.prod.svc.k8s.local"};
  CHECK(kubernetes(named).look() == hostnames);
  named.kubernetes_ip_lookup_mode = kubernetes::lookup::endpoints;
  CHECK(kubernetes(named).look() == hostnames);
  ::setenv("CLUSTER_DOMAIN", "example.test.", 1);
  kubernetes elsewhere(named);
  ::unsetenv("CLUSTER_DOMAIN");
  CHECK(elsewhere.look().at(0) == "app@web-0.web.prod.svc.example.test");
  set({{"", "10.0.0.1"}});  // a pod of a deployment
  CHECK(kubernetes(named).look().empty());
}

TEST_CASE_FIXTURE(api_server, "the token is read again at each look") {
  set({{"a", "10.0.0.1"}});
  kubernetes how(options());
  CHECK(how.look() == names{"app@10.0.0.1"});
  take_only_token("second");
  auto said = failure_of(how);
  CHECK(
      said == "expected https://" + address() +
                  "/api/v1/namespaces/prod/endpoints to answer with 200, got 401: Unauthorized");
  give_token("second");
  CHECK(how.look() == names{"app@10.0.0.1"});
  files().write("token", "");
  CHECK(contains(failure_of(how), files().path("./token") + " of the service account"));
}

TEST_CASE_FIXTURE(api_server, "a refusal is told in the server's words, without the token") {
  give_token("a-token-to-keep");
  auto elsewhere = options();
  elsewhere.kubernetes_namespace = "other";
  auto said = failure_of(elsewhere);
  CHECK(
      contains(said, "/api/v1/namespaces/other/endpoints to answer with 200, got 403: endpoints "));
  CHECK(contains(said, "User \"system:serviceaccount:prod:default\" cannot list resource"));
  CHECK_FALSE(contains(said, "a-token-to-keep"));
  for (auto& [status, body] : std::vector<std::pair<int, std::string>>{
           {500, "<html>"}, {503, ""}, {302, "{\"message\": 1}"}, {403, "[1]"}}) {
    answer_with({status, body});
    auto what = failure_of(options());
    CHECK(what.ends_with("to answer with 200, got " + std::to_string(status)));
  }
}

TEST_CASE_FIXTURE(api_server, "what is no list is an error, and never nobody") {
  for (auto* body :
       {"", "nonsense", "[]", "{}", "\"items\"", "{\"items\":{}}", "{\"items\":[1]}",
        "{\"items\":[{\"subsets\":1}]}", "{\"items\":[{\"subsets\":[{\"addresses\":[{}]}]}]}",
        "{\"items\":[{\"subsets\":[{\"addresses\":[{\"ip\":1}]}]}]}",
        "{\"items\":[{\"subsets\":[{\"addresses\":[{\"ip\":\"a\",\"targetRef\":1}]}]}]}",
        "{\"items\":[{\"metadata\":1}]}", "{\"items\":[{}]", "{\"items\":[]}}",
        "{\"items\":[\"\xff\"]}"}) {
    CAPTURE(std::string(body));
    answer_with({200, body});
    CHECK(contains(failure_of(options()), "expected "));
    auto by_pods = options();
    by_pods.kubernetes_ip_lookup_mode = kubernetes::lookup::pods;
    auto said = failure_of(by_pods);
    // Pods know nothing of subsets.
    CHECK((contains(said, "expected ") || contains(body, "subsets")));
  }
  answer_with({200, "{\"items\":" + std::string(100'000, '[')});
  CHECK(contains(failure_of(options()), "expected Kubernetes to answer with JSON, got: "));
  // As Go writes lists without items, and endpoints that nobody's pods are behind.
  answer_with({200, R"({"items":null})"});
  CHECK(kubernetes(options()).look().empty());
  answer_with(
      {200, R"({"items":[{"metadata":{"namespace":"n"},"subsets":[{"addresses":null},)"
            R"({"addresses":[{"ip":"10.0.0.1","hostname":"h"}]}]}]})"});
  CHECK(kubernetes(options()).look() == names{"app@10.0.0.1"});
  auto named = options();
  named.mode = kubernetes::naming::dns;
  CHECK(kubernetes(named).look() == names{"app@10-0-0-1.n.pod.cluster.local"});
}

TEST_CASE_FIXTURE(api_server, "a server that another authority has signed gets no token") {
  authority other;
  files().write("ca.crt", other.pem());
  CHECK(contains(failure_of(options()), "to prove its name by a certificate, got"));
  CHECK(last_target().empty());
  files().write("ca.crt", "nonsense");
  CHECK(contains(failure_of(options()), "to be verified by the certificates of "));
}

TEST_CASE_FIXTURE(api_server, "a silent server and an answer without an end are errors in time") {
  tcp_server silent([](tcp::socket& socket) {
    char byte;
    while (::recv(socket.native_handle(), &byte, 1, 0) > 0) {
    }
  });
  auto asks_silence = options();
  asks_silence.kubernetes_master = silent.address();
  asks_silence.timeout = 200ms;
  CHECK(contains(failure_of(asks_silence), "got no end of it within 200 ms"));
  answer_with({200, std::string((std::size_t{64} << 20) + 1, ' ')});
  CHECK(contains(failure_of(options()), "got a body of more than 67108864 bytes"));
}

TEST_CASE_FIXTURE(api_server, "the server is the one that each pod is told about") {
  set({{"a", "10.0.0.1"}});
  auto told = options();
  told.kubernetes_master = "";
  ::setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1", 1);
  ::setenv("KUBERNETES_SERVICE_PORT", std::to_string(port()).c_str(), 1);
  kubernetes how(told);
  ::unsetenv("KUBERNETES_SERVICE_HOST");
  ::unsetenv("KUBERNETES_SERVICE_PORT");
  CHECK(how.look() == names{"app@10.0.0.1"});
  told.timeout = 1ms;
  CHECK(contains(failure_of(told), "https://kubernetes.default.svc.cluster.local/api/"));
  told.kubernetes_master = "kubernetes.default.svc.cluster.local";
  CHECK(contains(failure_of(told), "https://kubernetes.default.svc.cluster.local/api/"));
  told.kubernetes_master = "api.example.com.";
  CHECK(contains(failure_of(told), "https://api.example.com/api/"));
}

TEST_CASE("options of kubernetes that are wrong are refused") {
  auto refuses = [](kubernetes::options options, const char* sentence) {
    CHECK_THROWS_WITH_AS(kubernetes{std::move(options)}, sentence, std::invalid_argument);
  };
  refuses(
      {.kubernetes_node_basename = "", .kubernetes_selector = "a=b"},
      "expected kubernetes_node_basename to be set, got nothing");
  refuses(
      {.kubernetes_node_basename = "a", .kubernetes_selector = ""},
      "expected kubernetes_selector to be set, got nothing");
  refuses(
      {.kubernetes_node_basename = "a",
       .kubernetes_selector = "a=b",
       .mode = kubernetes::naming::hostname},
      "expected kubernetes_service_name to be set in the mode hostname, got nothing");
  refuses(
      {.kubernetes_node_basename = "a",
       .kubernetes_selector = "a=b",
       .kubernetes_master = "h:1/path"},
      "expected kubernetes_master to be host[:port], got more");
}

TEST_CASE_FIXTURE(api_server, "kubernetes is set up by a configuration") {
  set({{"web-0", "10.0.0.1"}});
  auto conf = roost::config::from_text(
      "cluster:\n"
      "  topologies:\n"
      "    k8s:\n"
      "      strategy: Cluster.Strategy.Kubernetes\n"
      "      mode: hostname\n"
      "      kubernetes_node_basename: app\n"
      "      kubernetes_selector: app=myapp\n"
      "      kubernetes_namespace: prod\n"
      "      kubernetes_service_name: web\n"
      "      kubernetes_ip_lookup_mode: pods\n"
      "      kubernetes_use_cached_resources: true\n"
      "      kubernetes_service_account_path: " +
          files().path(".") + "\n      kubernetes_master: " + address() + "\n",
      "conf/app.yaml");
  auto settings = read_topologies(conf, {});
  conf.check_unknown();
  REQUIRE(settings.topologies.size() == 1);
  CHECK(settings.topologies[0].disconnect_vanished);
  CHECK(settings.topologies[0].how->interval() == 5s);
  CHECK(settings.topologies[0].how->look() == names{"app@web-0.web.prod.svc.cluster.local"});
  CHECK(last_target().ends_with("/pods?labelSelector=app%3Dmyapp&resourceVersion=0"));
}
