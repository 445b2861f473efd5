// What operations cost a node: processor time of the node per echo of a channel, with metrics,
// alarms, error tracking and a scrape a second, and without them, in turns. The clients are threads
// of this program; their time is taken off. Pairs of short turns, since other programs share the
// machine.
#include "bench/table.hpp"
#include "channels/endpoint.hpp"
#include "channels/pub_sub.hpp"
#include "channels/transport/frame_codec.hpp"
#include "channels/transport/handshake.hpp"
#include "operations/alarm_watch.hpp"
#include "operations/error_server.hpp"
#include "operations/metrics_server.hpp"
#include "operations/telemetry_poller.hpp"
#include "runtime/logger.hpp"
#include "runtime/runtime.hpp"
#include "supervision/supervisor.hpp"
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>
#include <algorithm>
#include <cstring>
#include <ctime>
#include <thread>

using namespace roost;
using namespace std::chrono_literals;

namespace {

constexpr int clients = 4;
constexpr int together = 16;    // echoes that a client has under way
constexpr int batches = 2'000;  // of a client in a turn
constexpr int pairs = 15;       // of a turn with and one without

double seconds(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

struct echo_channel {
  using events = roost::events<"echo">;
  join_result join(std::string_view, const payload&, roost::socket&) { return ok(); }
  in_result handle_in(event<"echo">, const payload& message, roost::socket&) { return ok(message); }
};

struct echo_socket {
  static constexpr topic_router channels{{{"room:*", channel<echo_channel>}}};
  static connect_result<echo_socket> connect(const params&, const connect_info&) {
    return echo_socket{};
  }
};

class echo_client {
 public:
  explicit echo_client(int port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
      throw std::runtime_error("expected to reach the endpoint, got no connection");
    send(encode_upgrade(
        {.host = "localhost",
         .target = "/socket/websocket?vsn=2.0.0",
         .key = "dGhlIHNhbXBsZSBub25jZQ=="}));
    char head[4096];
    if (::recv(fd_, head, sizeof head, 0) <= 0) throw std::runtime_error("no answer");
    std::string join;
    add(join, R"(["1","1","room:1","phx_join",{}])");
    send(join);
    take(1);
    for (int i = 0; i < together; ++i)
      add(batch_, R"(["1","2","room:1","echo",{"body":"hello, how are you?"}])");
  }
  echo_client(const echo_client&) = delete;
  echo_client& operator=(const echo_client&) = delete;
  ~echo_client() { ::close(fd_); }

  /// Answers the processor time that it took itself.
  double run() {
    auto begin = seconds(CLOCK_THREAD_CPUTIME_ID);
    for (int i = 0; i < batches; ++i) {
      send(batch_);
      take(together);
    }
    return seconds(CLOCK_THREAD_CPUTIME_ID) - begin;
  }

 private:
  static void add(std::string& to, std::string_view text) {
    append_frame(to, opcode::text, text, {.mask = mask_key{'m', 'a', 's', 'k'}});
  }
  void send(std::string_view bytes) {
    while (!bytes.empty()) {
      auto sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) throw std::runtime_error("the connection has ended");
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
  }
  void take(int count) {
    char buffer[65536];
    while (count > 0) {
      auto got = ::recv(fd_, buffer, sizeof buffer, 0);
      if (got <= 0) throw std::runtime_error("the connection has ended");
      std::span<char> input(buffer, static_cast<std::size_t>(got));
      while (decoder_.next(input, {.role = frame_role::client})) --count;
    }
  }

  int fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  frame_decoder decoder_;
  std::string batch_;
};

/// Nanoseconds of the node's processor time per echo.
double turn(std::vector<std::unique_ptr<echo_client>>& all) {
  auto begin = seconds(CLOCK_PROCESS_CPUTIME_ID);
  std::atomic<double> own = 0;
  std::vector<std::thread> threads;
  for (auto& client : all) threads.emplace_back([&] { own.fetch_add(client->run()); });
  for (auto& thread : threads) thread.join();
  auto spent = seconds(CLOCK_PROCESS_CPUTIME_ID) - begin - own;
  return spent * 1e9 / (double{clients} * batches * together);
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + pairs / 2, values.end());
  return values[pairs / 2];
}

/// As roost::operations() starts them, with a scrape a second.
class watchers {
 public:
  watchers()
      : top_(roost::start_link(supervisor_spec{
            .children = {
                child<detail::error_server>(
                    {.name = detail::error_server::name}, detail::error_settings()),
                child<detail::metrics_server>(
                    {.name = detail::metrics_server::name}, detail::metrics_settings()),
                child<detail::alarm_watch>(
                    {.name = detail::alarm_watch::name}, detail::alarm_settings()),
                child<detail::telemetry_poller>({}, detail::poller_settings())}})) {
    static auto scraped = std::chrono::steady_clock::now();
    if (std::chrono::steady_clock::now() - scraped >= 1s) {
      scraped = std::chrono::steady_clock::now();
      (void)metrics_text();
    }
    std::this_thread::sleep_for(50ms);  // the first look of the alarms is over
  }
  watchers(const watchers&) = delete;
  watchers& operator=(const watchers&) = delete;
  ~watchers() {
    detail::stop_root(top_, exit_reason::shutdown);
    while (is_alive(top_)) std::this_thread::yield();
  }

 private:
  pid top_;
};

}  // namespace

int main(int argc, char** argv) {
  logger::set_level(log_level::error);
  std::vector<bench::row> rows;
  {
    roost::runtime runtime{{.schedulers = 2}};
    roost::start_link(supervisor_spec{
        .children = {
            child<pub_sub>({.name = "bench"}), child<endpoint>(
                                                   {.pub_sub = "bench",
                                                    .http = {.port = 0},
                                                    .sockets = {socket_at<echo_socket>(
                                                        "/socket", {.message_rate = 1'000'000,
                                                                    .message_burst = 1'000'000,
                                                                    .byte_rate = 0,
                                                                    .log = false})}})}});
    std::vector<std::unique_ptr<echo_client>> all;
    for (int i = 0; i < clients; ++i) all.push_back(std::make_unique<echo_client>(endpoint_port()));
    turn(all);  // warms up
    std::vector<double> with;
    std::vector<double> without;
    std::vector<double> ratios;
    auto full_turn = [&] {
      watchers on;
      with.push_back(turn(all));
    };
    for (int i = 0; i < pairs; ++i) {
      // Neither is always the first.
      if (i % 2 == 1) full_turn();
      without.push_back(turn(all));
      if (i % 2 == 0) full_turn();
      ratios.push_back(with.back() / without.back());
    }
    auto plain = median(without);
    auto full = median(with);
    rows.push_back({.figure = "echo, without operations", .unit = "ns", .roost = plain});
    rows.push_back(
        {.figure = "echo, with operations",
         .unit = "ns",
         .roost = full,
         .peer = "without",
         .peer_value = plain,
         .less_is_better = true});
    rows.push_back(
        {.figure = "cost of operations, median of the pairs",
         .unit = "%",
         .roost = (median(ratios) - 1) * 100});
  }
  bench::print(rows);
  if (argc > 2 && std::string_view(argv[1]) == "--json") bench::write_json(rows, argv[2]);
}
