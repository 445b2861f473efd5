// What /metrics says, on one node.
#include "operations/metrics_server.hpp"
#include "operations/telemetry_poller.hpp"
#include "operations/user_metrics.hpp"
#include "runtime/alarms.hpp"
#include "runtime/telemetry.hpp"
#include "tests/channels/endpoint_fixtures.hpp"
#include "tests/puppets.hpp"
#include <cstdlib>

using namespace roost;
using namespace roost::test;
using detail::metrics_server;
using detail::metrics_settings;

namespace {

/// The value of the line that begins so; -1: there is none.
double value_in(const std::string& text, const std::string& series) {
  auto at = ("\n" + text).find("\n" + series + " ");
  if (at == std::string::npos) return -1;
  return std::strtod(text.c_str() + at + series.size() + 1, nullptr);
}

double value(const std::string& series) { return value_in(metrics_text(), series); }

struct counting_node : endpoint_server {
  log_capture quiet;
  void count(std::vector<metrics::definition> definitions = {}) {
    roost::start_link<metrics_server>(
        {.name = metrics_server::name}, metrics_settings{.definitions = std::move(definitions)});
  }
};

struct fragile {
  struct crash {};
  using messages = roost::messages<crash>;
  void handle_cast(crash) { throw std::runtime_error("it broke"); }
};

}  // namespace

TEST_CASE_FIXTURE(counting_node, "what clients do is counted") {
  count();
  start({.routes = {metrics_route(), get("/boom", [](const http_request&) -> http_response {
                      throw std::runtime_error("boom");
                    })}});
  auto before = metrics_text();
  auto grown = [&](const std::string& series) {
    return value(series) - std::max(0.0, value_in(before, series));
  };
  test_client client(port);
  client.send(R"(["1","1","room:1","phx_join",{}])");
  client.receive();
  for (int i = 0; i < 10; ++i) {
    client.send(R"(["1","2","room:1","echo",{"a":1}])");
    client.receive();
  }
  client.send(R"(["2","3","nowhere","phx_join",{}])");
  client.receive();
  CHECK(grown("roost_messages_in_total") == 12);
  CHECK(grown("roost_messages_out_total") == 12);
  CHECK(grown("roost_channel_joins_total{result=\"ok\"}") == 1);
  CHECK(grown("roost_channels") == 1);
  CHECK(grown("roost_socket_connects_total{result=\"ok\"}") == 1);
  CHECK(grown("roost_handle_in_duration_seconds_count") == 10);
  CHECK(grown("roost_channel_join_duration_seconds_count") == 1);
  CHECK(value("roost_sockets{endpoint=\"endpoint\"}") == 1);
  CHECK(value("roost_sockets_opened_total{endpoint=\"endpoint\"}") == 1);

  broadcast("test", "room:1", "news", {{"a", 1}});
  client.receive();
  CHECK(grown("roost_broadcast_receivers_count") == 1);
  CHECK(grown("roost_broadcast_receivers_sum") == 1);
  CHECK(grown("roost_messages_out_total") == 13);

  http_connection connection(port);
  CHECK(connection.get("/nowhere").status == 404);
  CHECK(connection.get("/boom").status == 500);
  CHECK(grown("roost_http_responses_total{code=\"4xx\"}") == 1);
  CHECK(grown("roost_http_responses_total{code=\"5xx\"}") == 1);
  CHECK(grown("roost_crashes_total") == 1);
  auto scraped = connection.get("/metrics");
  CHECK(scraped.status == 200);
  CHECK(scraped.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8");
  CHECK(value_in(scraped.body, "roost_channels") == 1);
  CHECK(
      scraped.body.find("# TYPE roost_handle_in_duration_seconds histogram") != std::string::npos);
}

TEST_CASE_FIXTURE(counting_node, "a channel that has gone is not counted any more") {
  count();
  start({});
  auto before = value("roost_channels");
  {
    test_client client(port);
    client.send(R"(["1","1","room:1","phx_join",{}])");
    client.receive();
    CHECK(value("roost_channels") == before + 1);
  }
  CHECK(eventually([&] { return value("roost_channels") == before; }));
}

TEST_CASE_FIXTURE(counting_node, "the node itself is measured") {
  count();
  CHECK(value("roost_processes") >= 1);
  CHECK(value("roost_memory_bytes{kind=\"total\"}") > 1e6);
  CHECK(value("roost_memory_bytes{kind=\"limit\"}") > value("roost_memory_bytes{kind=\"used\"}"));
  CHECK(value("roost_open_files") > 3);
  CHECK(value("roost_uptime_seconds") >= 0);
  CHECK(value("roost_scheduler_busy_seconds_total{scheduler=\"1\"}") >= 0);
  CHECK(value("roost_run_queue{scheduler=\"0\"}") >= 0);
  CHECK(value("roost_nodes") == 0);
  auto before = value("roost_reductions_total{scheduler=\"0\"}") +
                value("roost_reductions_total{scheduler=\"1\"}");
  auto one = roost::start_link<puppet>({});
  for (int i = 0; i < 100; ++i) roost::call(one, puppet::done{}).get();
  auto after = value("roost_reductions_total{scheduler=\"0\"}") +
               value("roost_reductions_total{scheduler=\"1\"}");
  CHECK(after >= before + 100);

  set_alarm("test_alarm", "just a test");
  CHECK(value("roost_alarm{id=\"test_alarm\"}") == 1);
  clear_alarm("test_alarm");
  CHECK(value("roost_alarm{id=\"test_alarm\"}") == -1);
}

TEST_CASE_FIXTURE(counting_node, "restarts and supervisors that give up are counted") {
  count();
  auto restarts = value("roost_supervisor_restarts_total");
  auto gave_up = value("roost_supervisor_gave_up_total");
  roost::start_link(
      supervisor_spec{.max_restarts = 1, .children = {child<fragile>({.name = "fragile"})}});
  auto first = whereis("fragile");
  roost::cast(server<fragile>(first), fragile::crash{});
  CHECK(eventually([&] { return value("roost_supervisor_restarts_total") == restarts + 1; }));
  CHECK(eventually([&] { return whereis("fragile") && whereis("fragile") != first; }));
  roost::cast(server<fragile>(whereis("fragile")), fragile::crash{});
  CHECK(eventually([&] { return value("roost_supervisor_gave_up_total") == gave_up + 1; }));
}

TEST_CASE_FIXTURE(counting_node, "rare events are counted only while somebody counts") {
  count();
  auto before = value("roost_node_ups_total");
  telemetry::execute("roost.node.up", {}, {{"node", "a@b"}});
  CHECK(value("roost_node_ups_total") == before + 1);
  telemetry::execute("roost.mailbox.dropped", {{"count", 7}}, {});
  CHECK(value("roost_mailbox_dropped_total") >= 7);
  roost::exit(whereis(metrics_server::name), exit_reason::kill);
  CHECK(eventually([] { return telemetry::list_handlers("roost.node").empty(); }));
}

TEST_CASE_FIXTURE(counting_node, "a program's own metrics are made of its events") {
  count(
      {metrics::counter("my_app.import.count", {.tags = {"kind"}}),
       metrics::sum("my_app.import.rows", {.description = "Rows read."}),
       metrics::sum("my_app.import.size", {.unit = metrics::unit::byte}),
       metrics::last_value("my_app.queue.length"),
       metrics::distribution(
           "my_app.import.duration", {.unit = metrics::unit::second, .buckets = {0.1, 1}})});
  static const telemetry::event imported{"my_app.import"};
  static const telemetry::event queue{"my_app.queue"};
  telemetry::execute(imported, {{"rows", 5}, {"size", 100}, {"duration", 50ms}}, {{"kind", "csv"}});
  telemetry::execute(imported, {{"rows", 2}, {"size", 11}, {"duration", 2s}}, {{"kind", "json"}});
  telemetry::execute(
      imported, {}, {{"kind", "csv"}});  // without measurements: an event all the same
  telemetry::execute(queue, {{"length", 7}});
  telemetry::execute(queue, {{"length", 3}});
  CHECK(value("my_app_import_count_total{kind=\"csv\"}") == 2);
  CHECK(value("my_app_import_count_total{kind=\"json\"}") == 1);
  CHECK(value("my_app_import_rows_total") == 7);
  CHECK(value("my_app_import_size_bytes_total") == 111);
  CHECK(value("my_app_queue_length") == 3);
  CHECK(value("my_app_import_duration_seconds_bucket{le=\"0.1\"}") == 1);
  CHECK(value("my_app_import_duration_seconds_bucket{le=\"+Inf\"}") == 2);
  CHECK(value("my_app_import_duration_seconds_sum") == doctest::Approx(2.05));
  CHECK(metrics_text().find("# HELP my_app_import_rows_total Rows read.") != std::string::npos);
}

TEST_CASE_FIXTURE(counting_node, "the series of a metric are bounded") {
  count({metrics::counter("my_app.visit.count", {.tags = {"who"}, .max_series = 3})});
  for (int i = 0; i < 1'000; ++i)
    telemetry::execute("my_app.visit", {}, {{"who", std::to_string(i)}});
  auto text = metrics_text();
  std::size_t lines = 0;
  for (auto at = text.find("\nmy_app_visit_count_total{"); at != text.npos;
       at = text.find("\nmy_app_visit_count_total{", at + 1))
    ++lines;
  CHECK(lines == 4);
  CHECK(value("my_app_visit_count_total{who=\"(other)\"}") == 997);
}

TEST_CASE_FIXTURE(counting_node, "many threads count without losing any") {
  count(
      {metrics::sum("my_app.work.units"), metrics::counter("my_app.work.count", {.tags = {"t"}})});
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([] {
      static const telemetry::event work{"my_app.work"};
      for (int i = 0; i < 5'000; ++i) telemetry::execute(work, {{"units", 2}}, {{"t", i % 7}});
    });
  for (auto& thread : threads) thread.join();
  CHECK(value("my_app_work_units_total") == 40'000);
  double sum = 0;
  for (int i = 0; i < 7; ++i)
    sum += value("my_app_work_count_total{t=\"" + std::to_string(i) + "\"}");
  CHECK(sum == 20'000);
}

TEST_CASE("definitions that cannot work say why") {
  using metrics::counter;
  using metrics::distribution;
  auto says = [](std::vector<metrics::definition> bad, const char* what) {
    try {
      detail::validate(bad);
      return false;
    } catch (const std::invalid_argument& error) {
      return std::string(error.what()).find(what) != std::string::npos;
    }
  };
  CHECK(says({counter("count")}, "got a single word"));
  CHECK(says({counter("a.count"), counter("a.count")}, "got another one of that name"));
  CHECK(says({distribution("a.b", {.buckets = {1, 1}})}, "buckets that rise"));
  CHECK_NOTHROW(detail::validate({counter("x", {.event = "a.b", .measurement = "c"})}));
}

TEST_CASE_FIXTURE(test::node, "the poller executes the events of the node, and a program's own") {
  log_capture quiet;
  std::atomic<std::int64_t> total = 0;
  std::atomic<std::int64_t> processes = 0;
  std::atomic<int> queues = 0;
  std::atomic<int> own = 0;
  std::atomic<int> failed = 0;
  telemetry::attach("t1", "vm.memory", [&](auto, auto& m, auto&) { total = m["total"].integer(); });
  telemetry::attach("t2", "vm.system_counts", [&](auto, auto& m, auto&) {
    processes = m["process_count"].integer();
  });
  telemetry::attach("t3", "vm.total_run_queue_lengths", [&](auto, auto& m, auto&) {
    if (m["total"].integer() == m["cpu"].integer() + m["io"].integer()) ++queues;
  });
  roost::start_link<detail::telemetry_poller>(
      {}, detail::poller_settings{
              .period = 10ms,
              .measurements = {
                  [&] { ++own; },
                  [&] {
                    ++failed;
                    throw std::runtime_error("no");
                  }}});
  CHECK(eventually([&] { return queues > 3 && own > 3; }));
  CHECK(total > 1'000'000);
  CHECK(processes > 0);
  CHECK(failed == 1);
  for (auto id : {"t1", "t2", "t3"}) telemetry::detach(id);
}
