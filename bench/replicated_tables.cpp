// Replicated tables: what a write, a row and a new copy cost. Two nodes on this machine, the second
// of which is this program once more.
#include "bench/table.hpp"
#include "runtime/distribution/replicated_ets.hpp"
#include "runtime/distribution/rpc.hpp"
#include "runtime/logger.hpp"
#include "runtime/runtime.hpp"
#include <netinet/in.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <algorithm>
#include <csignal>
#include <thread>

using namespace roost;
using namespace std::chrono_literals;

namespace {

struct session {
  int id = 0;
  std::string user = {};
  std::int64_t seen = 0;
};
using session_table = replicated_ets<session, &session::id>;

session session_of(int id) { return {id, "user-" + std::to_string(id), 1'700'000'000'000 + id}; }

node::options node_named(std::string name, std::uint16_t epmd_port) {
  return {
      .name = std::move(name),
      .cookie = "only-for-this-benchmark-4711-2b7e151628aed2a6",
      .epmd_port = epmd_port};
}

int run_other(std::uint16_t epmd_port) {
  roost::runtime runtime;
  node::start(node_named("other@127.0.0.1", epmd_port));
  session_table sessions{{.name = "sessions", .access = ets::public_}};
  rpc::offer("has", [=](int id) { return sessions.member(id); });
  rpc::offer("size", [=] { return sessions.size(); });
  node::connect("bench@127.0.0.1").get();
  for (;;) ::pause();
}

class other_node {
 public:
  explicit other_node(std::uint16_t epmd_port) {
    auto port = std::to_string(epmd_port);
    std::string path = "/proc/self/exe", flag = "--other";
    char* arguments[] = {path.data(), flag.data(), port.data(), nullptr};
    if (::posix_spawn(&process_, path.c_str(), nullptr, nullptr, arguments, environ) != 0)
      throw std::runtime_error("expected this program to start once more, got an error");
  }
  other_node(const other_node&) = delete;
  other_node& operator=(const other_node&) = delete;
  ~other_node() {
    ::kill(process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
  }

  template <class R, class... Args>
  static R ask(const std::string& function, Args... args) {
    return rpc::call<R>("other@127.0.0.1", function, args...).get();
  }
  static void wait_for_rows(std::size_t count) {
    while (ask<std::size_t>("size") != count) std::this_thread::sleep_for(1ms);
  }

 private:
  pid_t process_ = 0;
};

std::uint16_t free_port() {
  auto socket = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (::bind(socket, reinterpret_cast<sockaddr*>(&address), size) != 0) std::abort();
  ::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size);
  ::close(socket);
  return ntohs(address.sin_port);
}

double resident_bytes() {
  std::ifstream file("/proc/self/statm");
  double size = 0, pages = 0;
  file >> size >> pages;
  return pages * static_cast<double>(::sysconf(_SC_PAGESIZE));
}

template <class F>
double seconds(F work) {
  auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

constexpr int rows = 1'000'000;

template <class Table>
double bytes_per_row(const Table& table) {
  auto before = resident_bytes();
  for (int i = 0; i < rows; ++i) table.insert(session_of(i));
  return (resident_bytes() - before) / rows;
}

template <class Table>
double writes(const Table& table, int count) {
  return count / seconds([&] {
           for (int i = 0; i < count; ++i) table.insert(session_of(i));
         });
}

template <class Table>
double reads(const Table& table) {
  std::size_t found = 0;
  auto rate = rows / seconds([&] {
                for (int i = 0; i < rows; ++i) found += table.member(i) ? 1U : 0U;
              });
  if (found != rows) std::abort();
  return rate;
}

void wait_for_other(const session_table& sessions) {
  while (sessions.peers().empty() || sessions.peers()[0].syncs == 0)
    std::this_thread::sleep_for(1ms);
}

double sync_milliseconds(std::uint16_t epmd_port, const session_table& sessions) {
  other_node other{epmd_port};
  while (sessions.peers().empty()) std::this_thread::sleep_for(100us);
  return 1000 * seconds([&] { other_node::wait_for_rows(sessions.size()); });
}

/// From a write here until a reader there sees it, the question included.
double visible_after_microseconds(const session_table& sessions) {
  std::vector<double> took;
  for (int i = 0; i < 200; ++i) {
    auto id = 2 * rows + i;
    took.push_back(1e6 * seconds([&] {
                     sessions.insert(session_of(id));
                     while (!other_node::ask<bool>("has", id)) {
                     }
                   }));
    sessions.erase(id);
  }
  std::nth_element(took.begin(), took.begin() + 100, took.end());
  return took[100];
}

}  // namespace

int main(int argc, char** argv) {
  logger::set_level(log_level::error);
  if (argc == 3 && std::string_view(argv[1]) == "--other")
    return run_other(static_cast<std::uint16_t>(std::stoi(argv[2])));
  std::vector<bench::row> all;
  roost::runtime runtime;
  auto epmd_port = free_port();
  node::start(node_named("bench@127.0.0.1", epmd_port));

  {
    ets::set<session, &session::id> plain{{.name = "plain", .access = ets::public_}};
    all.push_back({"plain table: memory", "B/row", bytes_per_row(plain)});
    all.push_back({"plain table: writes", "1/s", writes(plain, rows)});
    all.push_back({"plain table: reads", "1/s", reads(plain)});
    plain.delete_table();
  }
  session_table sessions{{.name = "sessions", .access = ets::public_}};
  all.push_back({"replicated: memory", "B/row", bytes_per_row(sessions)});
  all.push_back({"replicated: writes, alone", "1/s", writes(sessions, rows)});
  all.push_back({"replicated: reads", "1/s", reads(sessions)});
  all.push_back(
      {"replicated: 1,000,000 rows copied", "ms", sync_milliseconds(epmd_port, sessions)});
  sessions.delete_table();

  session_table small{{.name = "sessions", .access = ets::public_}};
  for (int i = 0; i < 100'000; ++i) small.insert(session_of(i));
  all.push_back({"replicated: 100,000 rows copied", "ms", sync_milliseconds(epmd_port, small)});
  {
    other_node other{epmd_port};
    while (small.peers().size() != 1) std::this_thread::sleep_for(1ms);
    wait_for_other(small);
    all.push_back({"replicated: visible there after", "us", visible_after_microseconds(small)});
    auto taken =
        300'000 / seconds([&] {
          all.push_back({"replicated: writes, one other node", "1/s", writes(small, 300'000)});
          other_node::wait_for_rows(300'000);
        });
    all.push_back({"replicated: … and taken there", "1/s", taken});
  }
  small.delete_table();
  node::stop();
  bench::print(all);
  if (argc == 2) bench::write_json(all, argv[1]);
}
