#include "supervision/release/control_socket.hpp"
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sstream>
#include <system_error>
#include <thread>
#include <utility>

namespace roost::detail {
namespace {

using clock = std::chrono::steady_clock;

constexpr std::size_t longest_line = 4096;
constexpr std::size_t most_clients = 64;
constexpr std::chrono::seconds patience{10};

std::string last_error() { return std::generic_category().message(errno); }

/// A socket's address holds 107 bytes of path. A longer one is reached through its directory.
class address {
 public:
  explicit address(const std::string& path) {
    where_.sun_family = AF_UNIX;
    auto shown = path;
    if (path.size() >= sizeof where_.sun_path) {
      auto slash = path.rfind('/');
      directory_ = ::open(path.substr(0, slash).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
      shown = "/proc/self/fd/" + std::to_string(directory_) + path.substr(slash);
    }
    shown.resize(std::min(shown.size(), sizeof where_.sun_path - 1));
    std::memcpy(where_.sun_path, shown.c_str(), shown.size() + 1);
  }
  address(const address&) = delete;
  address& operator=(const address&) = delete;
  ~address() {
    if (directory_ >= 0) ::close(directory_);
  }

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&where_); }
  const char* path() const { return where_.sun_path; }
  static constexpr socklen_t size = sizeof(sockaddr_un);

 private:
  sockaddr_un where_{};
  int directory_ = -1;
};

int new_socket(int flags) { return ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0); }

int listen_at(const std::string& path) {
  address where(path);
  ::unlink(where.path());
  int descriptor = new_socket(SOCK_NONBLOCK);
  // The mode of the socket becomes that of the file: there is no moment in which others may
  // connect.
  if (descriptor >= 0 && ::fchmod(descriptor, 0600) == 0 &&
      ::bind(descriptor, where.get(), address::size) == 0 && ::listen(descriptor, 16) == 0)
    return descriptor;
  auto reason = last_error();
  if (descriptor >= 0) ::close(descriptor);
  throw std::runtime_error(
      "expected " + path + " to be a place for a control socket, got \"" + reason + '"');
}

bool is_allowed(int descriptor) {
  ucred peer{};
  socklen_t size = sizeof peer;
  return ::getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
         (peer.uid == 0 || peer.uid == ::geteuid());
}

/// An answer is short, and fits the socket's buffer; a client that has gone does not matter.
void send_line(int descriptor, std::string line) {
  std::ranges::replace(line, '\n', ' ');
  line += '\n';
  [[maybe_unused]] auto sent = ::send(descriptor, line.data(), line.size(), MSG_NOSIGNAL);
}

std::vector<std::string> words_of(const std::string& line) {
  std::istringstream input(line);
  std::vector<std::string> words;
  for (std::string word; input >> word;) words.push_back(word);
  return words;
}

}  // namespace

// ---------------------------------------------------------------------------------------- server

namespace {

std::mutex offered_mutex;
std::map<std::string, control_command>& offered_commands() {
  static auto& all = *new std::map<std::string, control_command>;
  return all;
}

control_command find_offered(const std::string& name) {
  std::lock_guard guard{offered_mutex};
  auto found = offered_commands().find(name);
  return found != offered_commands().end() ? found->second : control_command();
}

}  // namespace

void offer_control_command(std::string name, control_command command) {
  std::lock_guard guard{offered_mutex};
  offered_commands()[std::move(name)] = std::move(command);
}

struct control_server::state {
  struct client {
    int descriptor;
    clock::time_point since = clock::now();
    std::string received = {};
    bool waits = false;
    bool done = false;
  };

  std::string path;
  std::map<std::string, control_command> commands;
  int listener = -1;
  int wake = -1;
  std::vector<client> clients;
  std::thread thread;

  void run() {
    while (turn()) {
    }
  }

  /// Waits for one thing to happen. Answers false when the server is told to finish.
  bool turn() {
    std::vector<pollfd> watched{{wake, POLLIN, 0}};
    // With a full house, newcomers wait in the kernel's line.
    watched.push_back({clients.size() < most_clients ? listener : -1, POLLIN, 0});
    for (auto& one : clients) watched.push_back({one.descriptor, POLLIN, 0});
    ::poll(watched.data(), watched.size(), clients.empty() ? -1 : 1000);
    if (watched[0].revents != 0) return false;
    for (std::size_t i = 0; i < clients.size(); ++i)
      if (watched[i + 2].revents != 0) read(clients[i]);
    if (watched[1].revents != 0) accept();
    drop_finished();
    return true;
  }

  void accept() {
    int descriptor = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (descriptor < 0) {
      // Without descriptors the client stays in line, and poll would come back at once.
      if (errno == EMFILE || errno == ENFILE)
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
      return;
    }
    if (is_allowed(descriptor))
      clients.push_back({.descriptor = descriptor});
    else
      ::close(descriptor);
  }

  void read(client& client) {
    char block[1024];
    auto size = ::recv(client.descriptor, block, sizeof block, 0);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (size <= 0) {
      client.done = true;
      return;
    }
    if (client.waits) return;  // one request is all that we take
    client.received.append(block, static_cast<std::size_t>(size));
    auto end = client.received.find('\n');
    if (end != std::string::npos)
      answer(client, client.received.substr(0, end));
    else if (client.received.size() > longest_line)
      refuse(client, "expected a line of at most 4096 bytes, got more");
  }

  control_command find_command(const std::string& name) const {
    auto found = commands.find(name);
    return found != commands.end() ? found->second : find_offered(name);
  }

  void answer(client& client, const std::string& line) {
    auto words = words_of(line);
    auto command = words.empty() ? control_command() : find_command(words.front());
    if (!command)
      return refuse(client, "expected a command that this node knows, got " + line.substr(0, 60));
    words.erase(words.begin());
    try {
      auto reply = command(words);
      send_line(client.descriptor, (reply.failed ? "error " : "ok ") + reply.text);
      client.waits = reply.waits_for_end;
      client.done = !reply.waits_for_end;
    } catch (const std::exception& error) {
      refuse(client, error.what());
    }
  }

  static void refuse(client& client, const std::string& why) {
    send_line(client.descriptor, "error " + why);
    client.done = true;
  }

  void drop_finished() {
    auto now = clock::now();
    std::erase_if(clients, [&](client& one) {
      bool drop = one.done || (!one.waits && now - one.since > patience);
      if (drop) ::close(one.descriptor);
      return drop;
    });
  }
};

control_server::control_server(std::string path, std::map<std::string, control_command> commands)
    : state_(std::make_unique<state>()) {
  state_->path = std::move(path);
  state_->commands = std::move(commands);
  state_->wake = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (state_->wake < 0)
    throw std::runtime_error("expected an eventfd, got \"" + last_error() + '"');
  state_->listener = listen_at(state_->path);
  state_->thread = std::thread([state = state_.get()] { state->run(); });
}

control_server::~control_server() {
  finish(0);
  for (auto& one : state_->clients) ::close(one.descriptor);
  if (state_->wake >= 0) ::close(state_->wake);
}

void control_server::finish(int exit_code) {
  auto& server = *state_;
  if (!server.thread.joinable()) return;
  ::eventfd_write(server.wake, 1);
  server.thread.join();
  ::unlink(address(server.path).path());
  ::close(server.listener);
  for (auto& one : server.clients)
    if (one.waits) send_line(one.descriptor, "ended " + std::to_string(exit_code));
}

// ---------------------------------------------------------------------------------------- client

control_client::control_client(const std::string& path) : descriptor_(new_socket(0)) {
  address where(path);
  bool connected = descriptor_ >= 0 && ::connect(descriptor_, where.get(), address::size) == 0;
  // A socket without a listener was left behind by a node that was killed.
  bool absent = errno == ENOENT || errno == ENOTDIR || errno == ECONNREFUSED;
  // Somebody else may have put one into a directory that all may write to.
  if (connected && (::geteuid() == 0 || is_allowed(descriptor_))) return;
  auto reason = connected ? "one of another user" : absent ? "nobody" : '"' + last_error() + '"';
  if (descriptor_ >= 0) ::close(descriptor_);
  throw nobody_there("expected a running node at " + path + ", got " + reason);
}

control_client::control_client(control_client&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), received_(std::move(other.received_)) {}

control_client::~control_client() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

std::optional<std::string> control_client::ask(
    const std::string& request, std::chrono::milliseconds limit) {
  send_line(descriptor_, request);
  return read_line(limit);
}

std::optional<std::string> control_client::read_line(std::chrono::milliseconds limit) {
  auto deadline = clock::now() + limit;
  for (;;) {
    if (auto end = received_.find('\n'); end != std::string::npos) {
      auto line = received_.substr(0, end);
      received_.erase(0, end + 1);
      return line;
    }
    auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - clock::now()).count();
    pollfd waiting{descriptor_, POLLIN, 0};
    if (left <= 0 || ::poll(&waiting, 1, static_cast<int>(std::min<long>(left, 60'000))) < 0)
      return std::nullopt;
    if (waiting.revents == 0) continue;
    char block[1024];
    auto size = ::recv(descriptor_, block, sizeof block, 0);
    if (size <= 0) return std::nullopt;
    received_.append(block, static_cast<std::size_t>(size));
  }
}

bool control_client::wait_for_end(std::chrono::milliseconds limit) {
  auto deadline = clock::now() + limit;
  while (read_line(std::chrono::ceil<std::chrono::milliseconds>(deadline - clock::now()))) {
  }
  return clock::now() < deadline;
}

}  // namespace roost::detail
