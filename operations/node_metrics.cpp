#include "operations/node_metrics.hpp"
#include "channels/endpoint.hpp"
#include "channels/meters.hpp"
#include "channels/pub_sub.hpp"
#include "channels/tracker.hpp"
#include "operations/error_tracking.hpp"
#include "runtime/alarms.hpp"
#include "runtime/distribution/distribution.hpp"
#include "runtime/system_info.hpp"
#include "runtime/telemetry.hpp"
#include "supervision/reports.hpp"

namespace roost::detail {
namespace {

double number(std::uint64_t count) noexcept { return static_cast<double>(count); }

double seconds(std::chrono::nanoseconds time) noexcept {
  return std::chrono::duration<double>(time).count();
}

// --- rare events ---------------------------------------------------------------------------------

struct counted_event {
  std::string_view event;
  std::string_view metric;
  std::string_view help;
  exposition::labels labels;
  std::string_view weight = {};  // the measurement to add; empty: each counts as one
  std::atomic<std::uint64_t> count{0};
};

constexpr auto events_handler = "roost.operations.metrics";

std::array<counted_event, 9>& counted_events() {
  static constexpr auto connects = "roost_discovery_connects_total";
  static constexpr auto connects_help = "Attempts of discovery to connect to a node.";
  static constexpr auto looks = "roost_discovery_looks_total";
  static constexpr auto looks_help = "How often discovery has looked which nodes there are.";
  static std::array<counted_event, 9> events{{
      {"libcluster.connect_node.ok", connects, connects_help, {{"result", "ok"}}},
      {"libcluster.connect_node.error", connects, connects_help, {{"result", "error"}}},
      {"libcluster.disconnect_node.ok",
       "roost_discovery_disconnects_total",
       "Nodes that discovery has disconnected.",
       {}},
      {"roost.discovery.look.ok", looks, looks_help, {{"result", "ok"}}},
      {"roost.discovery.look.error", looks, looks_help, {{"result", "error"}}},
      {"roost.node.up", "roost_node_ups_total", "Connections to nodes that came up.", {}},
      {"roost.node.down", "roost_node_downs_total", "Connections to nodes that were lost.", {}},
      {"roost.node.busy",
       "roost_link_busy_total",
       "How often a process had to wait for a link to another node.",
       {}},
      {"roost.mailbox.dropped",
       "roost_mailbox_dropped_total",
       "Messages that full mailboxes have dropped.",
       {},
       "count"},
  }};
  return events;
}

std::string handler_of(const counted_event& one) {
  std::string id = events_handler;
  id.append(".").append(one.event);
  return id;
}

std::atomic<std::uint64_t> crashes{0};

// --- the parts -----------------------------------------------------------------------------------

void show_vm(exposition& page) {
  auto now = system_info();
  page.gauge("roost_processes", "Processes of this node.", number(now.processes));
  page.gauge("roost_process_limit", "How many there should be at most.", number(now.process_limit));
  constexpr auto memory = "roost_memory_bytes";
  constexpr auto memory_help =
      "Memory: of this program (total), of its processes, and used and limit of the cgroup or "
      "host.";
  page.gauge(memory, memory_help, number(now.memory.total), {{"kind", "total"}});
  page.gauge(memory, memory_help, number(now.memory.processes), {{"kind", "processes"}});
  page.gauge(memory, memory_help, number(now.memory.used), {{"kind", "used"}});
  page.gauge(memory, memory_help, number(now.memory.limit), {{"kind", "limit"}});
  page.gauge("roost_open_files", "Open descriptors.", number(now.open_files));
  page.gauge("roost_open_files_limit", "RLIMIT_NOFILE.", number(now.file_limit));
  page.gauge("roost_uptime_seconds", "Since the runtime's start.", seconds(now.uptime));
  page.gauge(
      "roost_blocking_jobs", "Jobs that wait for a thread of roost::blocking.",
      number(now.blocking_jobs));
  page.gauge("roost_build_info", "Always 1.", 1, {{"version", now.version}});
  for (std::size_t i = 0; i < now.schedulers.size(); ++i) {
    auto& one = now.schedulers[i];
    exposition::labels which{{"scheduler", std::to_string(i)}};
    page.gauge(
        "roost_run_queue", "Processes that wait for their turn.", number(one.run_queue), which);
    page.counter(
        "roost_scheduler_busy_seconds_total",
        "Time that a scheduler was not asleep; its rate is the utilisation, 0 to 1.",
        seconds(one.busy), which);
    page.counter(
        "roost_reductions_total", "Messages handled by processes.", number(one.reductions), which);
  }
}

void show_supervision(exposition& page) {
  auto& counts = supervision_counters();
  page.counter(
      "roost_supervisor_restarts_total", "Children that supervisors have restarted.",
      number(counts.restarts));
  page.counter(
      "roost_supervisor_gave_up_total", "Supervisors that ended after too many restarts.",
      number(counts.gave_up));
  page.counter("roost_crashes_total", "Crash reports of processes.", number(crashes));
}

void show_endpoint(exposition& page, const std::string& name) {
  auto now = endpoint::statistics(name);
  exposition::labels which{{"endpoint", name}};
  page.gauge("roost_connections", "Open connections.", number(now.connections), which);
  page.gauge("roost_sockets", "Open sockets, long polling included.", number(now.sockets), which);
  page.counter(
      "roost_connections_accepted_total", "Connections taken.", number(now.accepted), which);
  page.counter("roost_sockets_opened_total", "Sockets taken.", number(now.connected), which);
  auto refused = [&](std::string_view reason, std::uint64_t count) {
    auto labels = which;
    labels.emplace_back("reason", reason);
    page.counter("roost_refused_total", "Connections and sockets refused.", number(count), labels);
  };
  refused("connections", now.refused_connections);
  refused("sockets", now.refused_sockets);
  refused("address", now.refused_by_address);
  refused("rate", now.refused_by_rate);
  refused("draining", now.refused_draining);
  auto limited = [&](std::string_view limit, std::uint64_t count) {
    auto labels = which;
    labels.emplace_back("limit", limit);
    page.counter(
        "roost_limited_total", "What clients could not do because of a limit.", number(count),
        labels);
  };
  limited("handshake_timeout", now.slow_handshakes);
  limited("max_channels", now.too_many_channels);
  limited("max_joins", now.too_many_joins);
  limited("join_timeout", now.join_timeouts);
  limited("max_frame_size", now.messages_too_big);
  limited("rate", now.throttled);
  limited("idle_timeout", now.idle_timeouts);
  page.counter(
      "roost_slow_consumers_total", "Sockets closed because they did not take what was sent.",
      number(now.slow_consumers), which);
}

void show_times(
    exposition& page, std::string_view name, std::string_view help, const meters::time_sum& times) {
  std::array<double, meters::time_bounds.size()> bounds;
  for (std::size_t i = 0; i < bounds.size(); ++i)
    bounds[i] = static_cast<double>(meters::time_bounds[i]) / 1e9;
  page.histogram(name, help, bounds, times.buckets, number(times.sum_ns) / 1e9);
}

void show_channels(exposition& page) {
  auto now = meters::sum();
  page.gauge("roost_channels", "Joined channels.", number(now.channels()));
  auto joins = [&](std::string_view result, std::uint64_t count) {
    page.counter(
        "roost_channel_joins_total", "Joins of channels.", number(count),
        {{"result", std::string(result)}});
  };
  joins("ok", now.joins_ok);
  joins("refused", now.joins_refused);
  joins("crashed", now.joins_crashed);
  auto connects = [&](std::string_view result, std::uint64_t count) {
    page.counter(
        "roost_socket_connects_total", "What connect() has answered.", number(count),
        {{"result", std::string(result)}});
  };
  connects("ok", now.connects_ok);
  connects("refused", now.connects_refused);
  page.counter(
      "roost_messages_in_total", "Messages of clients, heartbeats included.",
      number(now.messages_in));
  page.counter("roost_messages_out_total", "Messages to clients.", number(now.messages_out));
  for (std::size_t i = 1; i < now.responses.size(); ++i)
    page.counter(
        "roost_http_responses_total", "Answers to HTTP requests, by the class of their status.",
        number(now.responses[i]), {{"code", std::to_string(i) + "xx"}});
  show_times(
      page, "roost_http_request_duration_seconds",
      "From a request to its answer; a long poll waits up to its window.", now.request);
  show_times(page, "roost_socket_connect_duration_seconds", "Time in connect().", now.connect);
  show_times(page, "roost_channel_join_duration_seconds", "Time in join().", now.join);
  show_times(page, "roost_handle_in_duration_seconds", "Time in handle_in().", now.handle_in);
  std::array<double, meters::sizes::bounds> bounds;
  for (std::size_t i = 0; i < bounds.size(); ++i) bounds[i] = number(meters::sizes::bound(i));
  page.histogram(
      "roost_broadcast_receivers",
      "Broadcasts, by the channels and processes of this node that they went to.", bounds,
      now.fan_out.buckets, number(now.fan_out.sum));
}

void show_pub_sub(exposition& page) {
  for (auto& name : pub_sub::names()) {
    auto now = pub_sub::statistics(name);
    auto show = [&](std::string_view what, std::uint64_t count) {
      page.counter(
          "roost_pub_sub_messages_total",
          "Broadcasts between nodes: sent, received, received without a subscriber here "
          "(unwanted), "
          "not sent (unreachable).",
          number(count), {{"pub_sub", name}, {"what", std::string(what)}});
    };
    show("sent", now.sent);
    show("received", now.received);
    show("unwanted", now.unwanted);
    show("unreachable", now.unreachable);
    page.counter(
        "roost_pub_sub_gaps_total", "Times in which broadcasts may have been lost.",
        number(now.gaps), {{"pub_sub", name}});
  }
  for (auto& name : tracker::names())
    page.gauge(
        "roost_presences", "What a presence or tracker knows of, on all nodes.",
        number(tracker(name).count()), {{"tracker", name}});
}

void show_links(exposition& page) {
  auto links = distribution::instance().links();
  std::size_t visible = 0;
  for (auto& link : links) visible += link.hidden ? 0 : 1;
  page.gauge("roost_nodes", "Connected nodes, without hidden ones.", number(visible));
  for (auto& link : links) {
    if (link.hidden) continue;  // shells and tools come and go
    exposition::labels which{{"peer", link.node}};
    page.gauge(
        "roost_link_queued_bytes", "What waits to be sent to a node.", number(link.queued), which);
    page.counter(
        "roost_link_received_bytes_total", "From a node, since it came up.", number(link.bytes_in),
        which);
    page.counter(
        "roost_link_sent_bytes_total", "To a node, since it came up.", number(link.bytes_out),
        which);
  }
}

void show_events(exposition& page) {
  for (auto& one : counted_events())
    page.counter(one.metric, one.help, number(one.count), one.labels);
}

void show_alarms(exposition& page) {
  for (auto& alarm : alarms())
    page.gauge("roost_alarm", "1 for each alarm that is set.", 1, {{"id", alarm.id}});
}

void show_errors(exposition& page) {
  auto now = error_totals();
  page.gauge("roost_error_groups", "Groups of errors that are kept.", number(now.groups));
  page.counter("roost_errors_total", "Errors that were tracked.", number(now.errors));
  page.counter(
      "roost_error_notices_total", "Notices of errors and alarms, by what became of them.",
      number(now.delivered), {{"result", "delivered"}});
  page.counter(
      "roost_error_notices_total", "Notices of errors and alarms, by what became of them.",
      number(now.failed), {{"result", "failed"}});
  page.counter(
      "roost_error_notices_total", "Notices of errors and alarms, by what became of them.",
      number(now.dropped), {{"result", "dropped"}});
}

}  // namespace

void show_node(exposition& page) {
  show_vm(page);
  show_supervision(page);
  for (auto& name : endpoint::names()) show_endpoint(page, name);
  show_channels(page);
  show_pub_sub(page);
  show_links(page);
  show_events(page);
  show_alarms(page);
  show_errors(page);
}

void count_events() {
  stop_counting_events();
  for (auto& one : counted_events())
    telemetry::attach(
        handler_of(one), one.event,
        [&one](std::string_view, const telemetry::values& measurements, const telemetry::values&) {
          auto* weight = one.weight.empty() ? nullptr : measurements.find(one.weight);
          one.count.fetch_add(
              weight != nullptr ? static_cast<std::uint64_t>(weight->integer()) : 1,
              std::memory_order_relaxed);
        });
  telemetry::attach(
      events_handler, "roost.report",
      [](std::string_view, const telemetry::values&, const telemetry::values& metadata) {
        auto* kind = metadata.find("kind");
        if (kind != nullptr && kind->text() == "crash_report")
          crashes.fetch_add(1, std::memory_order_relaxed);
      });
}

void stop_counting_events() {
  for (auto& one : counted_events()) telemetry::detach(handler_of(one));
  telemetry::detach(events_handler);
}

}  // namespace roost::detail
