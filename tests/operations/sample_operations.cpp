// The program that operations_test.py runs: a node with operations, and an endpoint that does what
// the test tells it to.
#include "channels/endpoint.hpp"
#include "channels/pub_sub.hpp"
#include "operations/operations.hpp"
#include "runtime/multi_call.hpp"
#include "runtime/telemetry.hpp"
#include "supervision/application.hpp"

namespace sample {

/// Not in an anonymous namespace: its functions have names in stacks.
struct fragile {
  struct crash {};
  using messages = roost::messages<crash>;
  void handle_cast(crash) { throw std::runtime_error("it broke, password=hunter2"); }
};

}  // namespace sample

namespace {

using sample::fragile;

struct blob {
  static constexpr std::string_view wire_name = "sample.blob";
  std::string bytes;
};

/// Takes what another node sends.
struct sink {
  using messages = roost::messages<blob>;
  void handle_cast(const blob&) {}
};

/// Sends as long as it lives; the runtime makes it wait when too much waits for the node.
struct hose {
  struct pour { std::string node; };
  using messages = roost::messages<pour>;
  struct next {};
  using infos = roost::messages<next>;
  std::string node = {};
  int left = 0;

  void handle_cast(const pour& message) {
    node = message.node;
    left = 200;
    roost::send(roost::self(), next{});
  }
  void handle_info(next) {
    if (left-- <= 0) return;
    roost::abcast({node}, "sink", blob{std::string(std::size_t{64} << 10, 'x')});
    roost::send(roost::self(), next{});
  }
};

roost::http_response pour(const roost::http_request& request) {
  roost::cast(
      roost::server<hose>("hose"), hose::pour{std::string(request.query["node"].value_or(""))});
  return {};
}

roost::http_response crash(const roost::http_request&) {
  roost::cast(roost::server<fragile>("fragile"), fragile::crash{});
  return {};
}

roost::http_response import_rows(const roost::http_request&) {
  static const roost::telemetry::event imported{"sample.import"};
  roost::telemetry::execute(imported, {{"rows", 3}}, {});
  return {};
}

roost::supervisor_spec tree() {
  return {
      .max_restarts = 100,
      .children = {
          roost::child<roost::pub_sub>({.name = "sample"}), roost::child<sink>({.name = "sink"}),
          roost::child<hose>({.name = "hose"}), roost::child<fragile>({.name = "fragile"}),
          roost::child<roost::endpoint>(
              {.pub_sub = "sample",
               .routes = {
                   roost::get("/pour", pour), roost::get("/crash", crash),
                   roost::get("/import", import_rows), roost::metrics_route("/own_metrics")}})}};
}

}  // namespace

int main(int argc, char** argv) {
  return roost::run_application(
      {.name = "sample_operations",
       .extensions = {roost::operations({.metrics = {roost::metrics::sum("sample.import.rows")}})}},
      tree, argc, argv);
}
