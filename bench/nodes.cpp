// Messages between nodes against Erlang's distribution: the same work here and in nodes.erl, in one
// run, in the clear and with TLS. The other nodes are this program again.
#include "bench/table.hpp"
#include "runtime/distribution/node.hpp"
#include "runtime/logger.hpp"
#include "runtime/runtime.hpp"
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <future>
#include <iostream>
#include <sstream>

using namespace roost;
using namespace std::chrono_literals;

namespace {

using clock_type = std::chrono::steady_clock;

struct load { std::string text; };

/// Counts what comes, and answers.
struct sink {
  struct count { using reply = int; };
  struct echo {
    using reply = std::string;
    std::string text;
  };
  using messages = roost::messages<count, echo>;
  using infos = roost::messages<load>;

  int seen = 0;

  int handle_call(count) { return std::exchange(seen, 0); }
  std::string handle_call(echo message) { return std::move(message.text); }
  void handle_info(const load&) { ++seen; }
};

double seconds_since(clock_type::time_point begin) {
  return std::chrono::duration<double>(clock_type::now() - begin).count();
}

// --- the other nodes -----------------------------------------------------------------------------

struct setting {
  std::string cookie;
  std::uint16_t epmd_port;
  bool encrypted;
};

node::options options_of(const std::string& name, const setting& setting) {
  node::options options{.name = name, .cookie = setting.cookie};
  options.epmd_port = setting.epmd_port;
  options.tls = setting.encrypted ? node::tls::psk : node::tls::off;
  return options;
}

int be_another_node(char** argv) {
  logger::set_level(log_level::none);
  runtime runtime{{.schedulers = 2}};
  setting setting{
      argv[3], static_cast<std::uint16_t>(std::atoi(argv[4])), std::strcmp(argv[5], "tls") == 0};
  start<sink>({.name = "sink"});
  node::start(options_of(argv[2], setting));
  std::cin.get();  // until the first node ends
  node::stop();
  return 0;
}

class other_node {
 public:
  other_node(std::string name, const setting& setting) : name_(std::move(name)) {
    int pipe[2];
    if (::pipe2(pipe, O_CLOEXEC) != 0) throw std::runtime_error("expected a pipe, got none");
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(pipe[0], STDIN_FILENO);
      auto port = std::to_string(setting.epmd_port);
      ::execl(
          "/proc/self/exe", "bench_nodes", "--node", name_.c_str(), setting.cookie.c_str(),
          port.c_str(), setting.encrypted ? "tls" : "plain", nullptr);
      ::_exit(1);
    }
    ::close(pipe[0]);
    line_ = pipe[1];
  }
  other_node(other_node&& other) noexcept
      : name_(std::move(other.name_)),
        pid_(std::exchange(other.pid_, 0)),
        line_(std::exchange(other.line_, -1)) {}
  ~other_node() {
    if (pid_ == 0) return;
    ::close(line_);
    ::waitpid(pid_, nullptr, 0);
  }

  const std::string& name() const { return name_; }
  int os_pid() const { return pid_; }
  server<sink> its_sink() const { return {"sink", name_}; }

 private:
  std::string name_;
  int pid_ = 0;
  int line_ = -1;
};

// --- the work ------------------------------------------------------------------------------------

/// Sends to the sinks in turn; their answers say that all has come. A few per turn, so that a busy
/// link holds it back, as Erlang's sender is.
struct sender {
  struct go {};
  using messages = roost::messages<>;
  using infos = roost::messages<go>;

  std::vector<server<sink>> sinks;
  int left;
  std::shared_ptr<std::promise<int>> done;
  std::vector<pid> to = {};
  std::size_t next = 0;
  std::size_t missing = 0;
  int arrived = 0;
  std::string text = std::string(100, 'x');

  static init_result<sender> init(
      std::vector<server<sink>> sinks, int total, std::shared_ptr<std::promise<int>> done) {
    sender fresh{std::move(sinks), total, std::move(done)};
    for (auto& one : fresh.sinks) fresh.to.push_back(one.process());
    fresh.missing = fresh.sinks.size();
    roost::send(self(), go{});
    return fresh;
  }
  void handle_info(go) {
    for (int i = 0; i < 100 && left > 0; ++i, --left) {
      send(to[next], load{text});
      next = next + 1 == to.size() ? 0 : next + 1;
    }
    if (left > 0) return roost::send(self(), go{});
    for (auto& one : sinks)
      call(one, sink::count{}, infinity).then([this](int count) {
        arrived += count;
        if (--missing == 0) done->set_value(arrived);
      });
  }
};

/// Messages per second.
double one_way(const std::vector<server<sink>>& sinks, int total) {
  auto done = std::make_shared<std::promise<int>>();
  auto begin = clock_type::now();
  auto process = start<sender>(sinks, total, done);
  if (auto arrived = done->get_future().get(); arrived != total)
    throw std::runtime_error(
        "expected " + std::to_string(total) + " messages to arrive, got " +
        std::to_string(arrived));
  auto rate = total / seconds_since(begin);
  exit(process.process(), exit_reason::kill);
  return rate;
}

/// Calls one after the other.
struct caller {
  struct go {};
  using messages = roost::messages<>;
  using infos = roost::messages<go>;

  server<sink> to;
  int left;
  std::shared_ptr<std::promise<std::vector<double>>> done;
  std::vector<double> times = {};  // µs

  static init_result<caller> init(
      server<sink> to, int calls, std::shared_ptr<std::promise<std::vector<double>>> done) {
    roost::send(self(), go{});
    return caller{std::move(to), calls, std::move(done)};
  }
  void handle_info(go) { next(); }

 private:
  void next() {
    if (left-- == 0) return done->set_value(std::move(times));
    auto begin = clock_type::now();
    call(to, sink::echo{"xxxxxxxxxxxxxxxxxxxx"}, infinity).then([this, begin](const std::string&) {
      times.push_back(seconds_since(begin) * 1e6);
      next();
    });
  }
};

std::vector<double> latencies(const server<sink>& to, int calls) {
  auto done = std::make_shared<std::promise<std::vector<double>>>();
  start<caller>(to, calls, done);
  auto times = done->get_future().get();
  std::sort(times.begin(), times.end());
  return times;
}

/// Calls per second of so many callers together.
double callers(const server<sink>& to, int count, int each) {
  std::vector<std::future<std::vector<double>>> all;
  auto begin = clock_type::now();
  for (int i = 0; i < count; ++i) {
    auto done = std::make_shared<std::promise<std::vector<double>>>();
    all.push_back(done->get_future());
    start<caller>(to, each, done);
  }
  for (auto& one : all) one.get();
  return count * each / seconds_since(begin);
}

double ticks(int process) {
  std::ifstream in("/proc/" + std::to_string(process) + "/stat");
  std::string text((std::istreambuf_iterator<char>(in)), {});
  std::istringstream fields(text.substr(text.rfind(')') + 2));
  std::string word;
  for (int i = 0; i < 11; ++i) fields >> word;
  double user = 0, system = 0;
  fields >> user >> system;
  return user + system;
}

/// Processor time of all nodes for one message, in nanoseconds.
double cost(const std::vector<other_node>& nodes, std::size_t count) {
  constexpr int total = 3'000'000;  // the clock of processor time ticks each 10 ms
  std::vector<server<sink>> sinks;
  for (std::size_t i = 0; i + 1 < count; ++i) sinks.push_back(nodes[i].its_sink());
  auto used = [&] {
    auto sum = ticks(::getpid());
    for (auto& node : nodes) sum += ticks(node.os_pid());
    return sum;
  };
  auto before = used();
  one_way(sinks, total);
  return (used() - before) * 1e7 / total;
}

template <class F>
double best(F measure) {
  return std::max({measure(), measure(), measure()});
}

std::map<std::string, double> run_here(const setting& setting, const std::string& suffix) {
  std::map<std::string, double> values;
  node::start(options_of("first" + suffix + "@127.0.0.1", setting));
  {
    std::vector<other_node> nodes;
    for (int i = 1; i <= 7; ++i)
      nodes.emplace_back("peer" + suffix + std::to_string(i) + "@127.0.0.1", setting);
    for (auto& node : nodes)
      while (node::ping(node.name()).get() != node::ping_result::pong)
        std::this_thread::sleep_for(20ms);
    auto to = nodes.front().its_sink();
    values["one_way"] = best([&] { return one_way({to}, 1'000'000); });
    auto times = latencies(to, 20'000);
    values["call_p50"] = times[times.size() / 2];
    values["call_p99"] = times[times.size() * 99 / 100];
    values["callers_100"] = best([&] { return callers(to, 100, 2000); });
    values["cost_2"] = cost(nodes, 2);
    values["cost_4"] = cost(nodes, 4);
    values["cost_8"] = cost(nodes, 8);
  }
  node::stop();
  return values;
}

// --- the peer ------------------------------------------------------------------------------------

/// Erlang's distribution wants a certificate for TLS.
std::string make_certificate(const std::string& directory) {
  auto command = "cd " + directory +
                 " && openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem "
                 "-subj /CN=127.0.0.1 -days 2 >/dev/null 2>&1";
  if (std::system(command.c_str()) != 0) throw std::runtime_error("expected openssl to work");
  std::ofstream(directory + "/tls.conf")
      << "[{server, [{certfile, \"" << directory << "/cert.pem\"}, {keyfile, \"" << directory
      << "/key.pem\"}]}, {client, [{verify, verify_none}]}].\n";
  return " -proto_dist inet_tls -ssl_dist_optfile " + directory + "/tls.conf";
}

std::map<std::string, double> run_erlang(bool encrypted) {
  auto directory = (std::filesystem::temp_directory_path() / "roost_bench_erl").string();
  std::filesystem::create_directories(directory);
  auto port = encrypted ? "14371" : "14370";
  auto flags = "+S 2 -setcookie " + std::string(32, 'c') + " -pa " + directory +
               (encrypted ? make_certificate(directory) : std::string());
  auto values = bench::run_peer(
      "export ERL_EPMD_PORT=" + std::string(port) + " BENCH_FLAGS='" + flags +
      "'; cd bench && erlc -o " + directory + " nodes.erl && erl $BENCH_FLAGS " +
      "-name first@127.0.0.1 -noshell -s nodes main 2>/dev/null; epmd -kill >/dev/null 2>&1");
  return values;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 6 && std::strcmp(argv[1], "--node") == 0) return be_another_node(argv);
  logger::set_level(log_level::none);
  std::vector<bench::row> rows;
  for (bool encrypted : {false, true}) {
    auto beam = run_erlang(encrypted);
    runtime runtime{{.schedulers = 2}};
    setting setting{
        "3f1c8a5be07d4692a3c1f9d08b7e5642", static_cast<std::uint16_t>(encrypted ? 14373 : 14372),
        encrypted};
    auto here = run_here(setting, encrypted ? "t" : "p");
    std::string how = encrypted ? ", TLS" : "";
    auto add = [&](std::string figure, std::string unit, const char* key, bool less = false) {
      rows.push_back({figure + how, unit, here[key], "BEAM", beam[key], 0, less});
    };
    add("one-way, 100 bytes", "1/s", "one_way");
    add("call, p50", "us", "call_p50", true);
    add("call, p99", "us", "call_p99", true);
    add("calls, 100 callers", "1/s", "callers_100");
    add("a message, 2 nodes", "ns of CPU", "cost_2", true);
    add("a message, 4 nodes", "ns of CPU", "cost_4", true);
    add("a message, 8 nodes", "ns of CPU", "cost_8", true);
  }
  bench::print(rows);
  if (argc == 3 && std::strcmp(argv[1], "--json") == 0) bench::write_json(rows, argv[2]);
}
