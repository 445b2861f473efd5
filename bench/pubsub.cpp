// Broadcasts within a node, between two and among twenty: how many sockets a second of processor
// time serves, what the hop to another node adds, and how many messages cross between nodes. The
// other nodes, and the clients, are this program again.
#include "bench/table.hpp"
#include "channels/endpoint.hpp"
#include "channels/pub_sub.hpp"
#include "channels/redis_adapter.hpp"
#include "channels/transport/frame_codec.hpp"
#include "channels/transport/handshake.hpp"
#include "runtime/distribution/rpc.hpp"
#include "runtime/logger.hpp"
#include "runtime/runtime.hpp"
#include "supervision/supervisor.hpp"
#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>
#include <iostream>
#include <iterator>
#include <sstream>
#include <thread>

using namespace roost;
using namespace std::chrono_literals;

namespace {

constexpr const char* cookie = "3f1c8a5be07d4692a3c1f9d08b7e5642";
constexpr std::uint16_t epmd_port = 14374;
constexpr std::uint16_t redis_port = 14375;
constexpr std::size_t most_times = 400'000;

std::int64_t now_ns() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

// --- children ------------------------------------------------------------------------------------

/// Another program, or this one again, until it is destroyed.
class subprocess {
 public:
  explicit subprocess(
      const std::vector<std::string>& words, const char* program = "/proc/self/exe") {
    int pipe[2];
    if (::pipe2(pipe, O_CLOEXEC) != 0) throw std::runtime_error("expected a pipe, got none");
    std::vector<const char*> argv{program};
    for (auto& word : words) argv.push_back(word.c_str());
    argv.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(pipe[0], STDIN_FILENO);
      ::execvp(program, const_cast<char**>(argv.data()));
      ::_exit(1);
    }
    ::close(pipe[0]);
    line_ = pipe[1];
  }
  subprocess(subprocess&& other) noexcept
      : pid_(std::exchange(other.pid_, 0)), line_(std::exchange(other.line_, -1)) {}
  ~subprocess() {
    if (pid_ == 0) return;
    ::close(line_);
    ::waitpid(pid_, nullptr, 0);
  }
  int os_pid() const { return pid_; }
  void kill() { ::kill(pid_, SIGKILL); }

 private:
  int pid_ = 0;
  int line_ = -1;
};

// --- a node --------------------------------------------------------------------------------------

struct room {
  join_result join(std::string_view, const payload&, roost::socket&) { return ok(); }
};
struct user_socket {
  static constexpr topic_router channels{{{"room:*", channel<room>}}};
  static connect_result<user_socket> connect(const params&, const connect_info&) {
    return user_socket{};
  }
};

struct listener {
  using messages = roost::messages<>;
  using infos = roost::messages<broadcast_message>;
  static init_result<listener> init() {
    subscribe("bus", "crossing");
    return listener{};
  }
  void handle_info(const broadcast_message&) {}
};

pub_sub_adapter_spec adapter_of(const std::string& name) {
  if (name == "redis")
    return redis_adapter({.url = "redis://127.0.0.1:" + std::to_string(redis_port)});
  return name == "interest" ? interest_adapter() : pg_adapter();
}

int be_a_node(const std::string& name, const std::string& adapter) {
  logger::set_level(log_level::none);
  runtime runtime{{.schedulers = 2}};
  node::options options{.name = name, .cookie = cookie};
  options.epmd_port = epmd_port;
  node::start(options);
  start_link(supervisor_spec{
      .strategy = one_for_one,
      .children = {
          roost::child<pub_sub>({.name = "bus", .adapter = adapter_of(adapter)}),
          roost::child<endpoint>({
              .pub_sub = "bus",
              .http = {.port = 0},
              .check_origin = false,
              .sockets = {socket_at<user_socket>("/socket")},
          }),
      }});
  rpc::offer("port", [] { return endpoint_port(); });
  rpc::offer("publish", [](std::string topic, int count, int mark) {
    for (int i = 0; i < count; ++i)
      broadcast(
          "bus", topic, "news", {{"m", mark}, {"t", now_ns()}, {"body", std::string(64, 'x')}});
    return true;
  });
  rpc::offer("listen", [] {
    start<listener>();
    return true;
  });
  rpc::offer("meet", [](std::string other) {
    node::connect(other).then([](node::connect_result) {});
    return true;
  });
  static std::atomic<bool> synced;
  rpc::offer("sync", [] {
    std::thread([] { synced = pub_sub::sync("bus").get(); }).detach();
    return true;
  });
  rpc::offer("synced", [] { return synced.load(); });
  rpc::offer("received", [] { return pub_sub::statistics("bus").received; });
  rpc::offer("nodes", [] { return static_cast<int>(node::list().size()); });
  std::cin.get();
  std::_Exit(0);  // nobody waits for an orderly end of the sockets
}

struct bench_node {
  std::string name;
  subprocess process;

  bench_node(const std::string& short_name, const std::string& adapter)
      : name(short_name + "@127.0.0.1"), process({"--node", name, adapter}) {
    while (node::ping(name).get() != node::ping_result::pong) std::this_thread::sleep_for(20ms);
    while (port() == 0) std::this_thread::sleep_for(20ms);
  }
  template <class R, class... As>
  R ask(const std::string& function, As... arguments) const {
    return rpc::call<R>({name, 60s}, function, std::move(arguments)...).get();
  }
  int port() const {
    try {
      return ask<int>("port");
    } catch (const process_exit&) {
      return 0;  // it does not offer it yet
    }
  }
};

// --- clients -------------------------------------------------------------------------------------

/// What the clients tell, in memory that is shared with them.
struct tally {
  std::atomic<std::uint64_t> joined;
  std::atomic<std::uint64_t> frames;
  struct series {
    std::atomic<std::uint64_t> count;
    std::int32_t times[most_times];  // µs from the broadcast to the client
  };
  series marked[2];
};

tally* map_tally(const std::string& file) {
  auto fd = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0 || ::ftruncate(fd, sizeof(tally)) != 0)
    throw std::runtime_error("expected to write " + file);
  auto* memory = ::mmap(nullptr, sizeof(tally), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  ::close(fd);
  return static_cast<tally*>(memory);
}

class bench_client {
 public:
  explicit bench_client(int port) {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
      throw std::runtime_error("expected to connect");
    write(encode_upgrade(
        {.host = "localhost",
         .target = "/socket/websocket?vsn=2.0.0",
         .key = "dGhlIHNhbXBsZSBub25jZQ=="}));
    char buffer[4096];
    if (::recv(fd_, buffer, sizeof buffer, 0) <= 0) throw std::runtime_error("expected an upgrade");
    std::string join;
    append_frame(
        join, opcode::text, R"(["1","1","room:fan","phx_join",{}])",
        {.mask = mask_key{'m', 'a', 's', 'k'}});
    write(join);
    ::fcntl(fd_, F_SETFL, O_NONBLOCK);
  }
  bench_client(bench_client&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

  int fd() const { return fd_; }

  void read(tally& tally) {
    static char buffer[256 * 1024];
    for (;;) {
      auto count = ::recv(fd_, buffer, sizeof buffer, 0);
      if (count <= 0) return;
      in_.append(buffer, static_cast<std::size_t>(count));
      take(tally);
    }
  }

 private:
  void write(std::string_view bytes) { (void)!::send(fd_, bytes.data(), bytes.size(), 0); }

  void take(tally& tally) {
    std::size_t at = 0;
    for (;;) {
      if (in_.size() - at < 4) break;
      auto byte = [&](std::size_t i) { return static_cast<unsigned char>(in_[at + i]); };
      std::size_t length = byte(1), head = 2;
      if (length == 126) length = byte(2) * 256u + byte(3), head = 4;
      if (in_.size() - at < head + length) break;
      count(tally, std::string_view(in_).substr(at + head, length));
      at += head + length;
    }
    in_.erase(0, at);
  }

  static void count(tally& tally, std::string_view text) {
    auto at = text.find("\"t\":");
    if (at == text.npos) {
      if (text.find("phx_reply") != text.npos) ++tally.joined;
      return;
    }
    auto sent = std::strtoll(text.data() + at + 4, nullptr, 10);
    auto& series = tally.marked[text.find("\"m\":1") != text.npos];
    if (auto i = series.count++; i < most_times)
      series.times[i] = static_cast<std::int32_t>((now_ns() - sent) / 1000);
    ++tally.frames;
  }

  int fd_ = -1;
  std::string in_;
};

int be_clients(int port, int count, const std::string& file) {
  auto* tally = map_tally(file);
  std::vector<bench_client> clients;
  auto epoll = ::epoll_create1(0);
  for (int i = 0; i < count; ++i) clients.emplace_back(port);
  for (std::size_t i = 0; i < clients.size(); ++i) {
    epoll_event event{EPOLLIN, {.u64 = i}};
    ::epoll_ctl(epoll, EPOLL_CTL_ADD, clients[i].fd(), &event);
  }
  epoll_event end{EPOLLIN, {.u64 = clients.size()}};
  ::epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &end);
  for (epoll_event events[256];;) {
    auto ready = ::epoll_wait(epoll, events, 256, -1);
    for (int i = 0; i < ready; ++i) {
      if (events[i].data.u64 == clients.size()) return 0;
      clients[events[i].data.u64].read(*tally);
    }
  }
}

class clients {
 public:
  clients(const bench_node& node, int count)
      : file_("/dev/shm/roost_bench_" + std::to_string(::getpid())),
        tally_(map_tally(file_)),
        process_({"--clients", std::to_string(node.port()), std::to_string(count), file_}) {
    while (tally_->joined < static_cast<std::uint64_t>(count)) std::this_thread::sleep_for(1ms);
  }
  clients(const clients&) = delete;
  ~clients() {
    ::munmap(tally_, sizeof(tally));
    ::unlink(file_.c_str());
  }
  void wait_for(std::uint64_t frames) {
    while (tally_->frames < frames) std::this_thread::sleep_for(200us);
  }
  std::vector<std::int32_t> times(int mark) const {
    auto& series = tally_->marked[mark];
    auto count = std::min<std::size_t>(series.count, most_times);
    std::vector<std::int32_t> all(series.times, series.times + count);
    std::sort(all.begin(), all.end());
    return all;
  }

 private:
  std::string file_;
  tally* tally_;
  subprocess process_;
};

// --- the work ------------------------------------------------------------------------------------

double ticks(int process) {
  std::ifstream in("/proc/" + std::to_string(process) + "/stat");
  std::string text((std::istreambuf_iterator<char>(in)), {});
  std::istringstream fields(text.substr(text.rfind(')') + 2));
  std::string word;
  for (int i = 0; i < 11; ++i) fields >> word;
  double user = 0, system = 0;
  fields >> user >> system;
  return (user + system) / 100;
}

/// Deliveries to sockets of one node for a second of processor time of both.
double fan_out(const bench_node& from, const bench_node& to) {
  constexpr int sockets = 2000, batches = 100, batch = 20;
  clients clients(to, sockets);
  from.ask<bool>("publish", std::string("room:fan"), 1, 0);
  clients.wait_for(sockets);
  auto used = [&] {
    auto sum = ticks(from.process.os_pid());
    return from.name == to.name ? sum : sum + ticks(to.process.os_pid());
  };
  auto before = used();
  for (int i = 1; i <= batches; ++i) {
    from.ask<bool>("publish", std::string("room:fan"), batch, 0);
    clients.wait_for(std::uint64_t{sockets} * (1 + static_cast<std::uint64_t>(i) * batch));
  }
  return sockets * batches * batch / (used() - before);
}

struct latency {
  double p50 = 0;
  double p99 = 0;
};

/// From a broadcast to 1,000 sockets, 20 times a second, in turn by their own node and another one:
/// whatever else the machine does meanwhile slows both.
std::array<latency, 2> hop(const bench_node& here, const bench_node& there) {
  constexpr int each = 200;
  clients clients(here, 1000);
  for (int i = 0; i < 2 * each; ++i) {
    (i % 2 ? there : here).ask<bool>("publish", std::string("room:fan"), 1, i % 2);
    std::this_thread::sleep_for(50ms);
  }
  clients.wait_for(2 * each * 1000);
  std::array<latency, 2> result;
  for (int i : {0, 1}) {
    auto times = clients.times(i);
    result[i] = {double(times[times.size() / 2]), double(times[times.size() * 99 / 100])};
  }
  return result;
}

/// Messages between nodes for a broadcast: 20 nodes, 3 subscribers on as many of them.
double crossings(const std::string& adapter) {
  constexpr int count = 20, broadcasts = 100;
  std::vector<bench_node> nodes;
  for (int i = 0; i < count; ++i) nodes.emplace_back(adapter + std::to_string(i), adapter);
  for (auto& node : nodes)
    for (auto& other : nodes)
      if (&node != &other) node.ask<bool>("meet", other.name);
  for (auto& node : nodes)
    while (node.ask<int>("nodes") < count - 1) std::this_thread::sleep_for(20ms);
  for (int i : {3, 7, 11}) nodes[static_cast<std::size_t>(i)].ask<bool>("listen");
  for (auto& node : nodes) {
    node.ask<bool>("sync");
    while (!node.ask<bool>("synced")) std::this_thread::sleep_for(5ms);
  }
  auto received = [&] {
    std::uint64_t sum = 0;
    for (auto& node : nodes) sum += node.ask<std::uint64_t>("received");
    return sum;
  };
  auto before = received();
  nodes[0].ask<bool>("publish", std::string("crossing"), broadcasts, 0);
  std::uint64_t last = before, now = received();
  while (now != last || now < before + 3 * broadcasts) {
    std::this_thread::sleep_for(50ms);
    last = std::exchange(now, received());
  }
  return double(now - before) / broadcasts;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 4 && std::strcmp(argv[1], "--node") == 0) return be_a_node(argv[2], argv[3]);
  if (argc == 5 && std::strcmp(argv[1], "--clients") == 0)
    return be_clients(std::atoi(argv[2]), std::atoi(argv[3]), argv[4]);
  logger::set_level(log_level::none);
  runtime runtime{{.schedulers = 2}};
  node::options options{.name = "driver@127.0.0.1", .cookie = cookie, .hidden = true};
  options.epmd_port = epmd_port;
  node::start(options);
  std::vector<bench::row> rows;
  subprocess redis(
      {"--port", std::to_string(redis_port), "--save", "", "--loglevel", "warning", "--bind",
       "127.0.0.1", "--logfile", "/dev/null"},
      "redis-server");
  for (std::string adapter : {"pg", "interest", "redis"}) {
    bench_node one("one" + adapter, adapter), two("two" + adapter, adapter);
    one.ask<bool>("meet", two.name);
    while (two.ask<int>("nodes") == 0) std::this_thread::sleep_for(10ms);
    double local = 0, across = 0;
    for (int round = 0; round < 3; ++round) {
      local = std::max(local, fan_out(two, two));
      across = std::max(across, fan_out(one, two));
    }
    auto [here, there] = hop(two, one);
    auto name = adapter + ": ";
    rows.push_back({name + "deliveries, one node", "1/CPU s", local});
    rows.push_back({name + "deliveries, other node", "1/CPU s", across, "one node", local});
    rows.push_back({name + "latency, one node, p50", "us", here.p50});
    rows.push_back({name + "latency, one node, p99", "us", here.p99});
    rows.push_back({name + "the hop adds, p50", "us", there.p50 - here.p50});
    rows.push_back({name + "the hop adds, p99", "us", there.p99 - here.p99});
  }
  for (std::string adapter : {"pg", "interest", "redis"})
    rows.push_back({adapter + ": crossings, 20 nodes, 3 want it", "1/cast", crossings(adapter)});
  redis.kill();
  bench::print(rows);
  if (argc == 3 && std::strcmp(argv[1], "--json") == 0) bench::write_json(rows, argv[2]);
}
