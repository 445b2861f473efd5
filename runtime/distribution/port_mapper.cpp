// One thread, which registers or serves, and sleeps in poll until something happens.
#include "runtime/distribution/port_mapper.hpp"
#include "runtime/distribution/epmd_clients.hpp"
#include "runtime/distribution/epmd_sockets.hpp"
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <random>
#include <stdexcept>
#include <system_error>
#include <thread>

namespace roost::detail {
namespace {

using namespace epmd;
using milliseconds = std::chrono::milliseconds;

constexpr std::chrono::seconds time_to_start{5};
// For an answer to the registration.
constexpr std::chrono::seconds time_to_answer{5};
// All who have lost their port mapper try again at a random moment between a tenth of this and all
// of it. It doubles with each failure, up to the longest.
constexpr milliseconds first_delay{200};
constexpr milliseconds longest_delay{5000};

std::string short_name_of(const std::string& node) {
  auto name = node.substr(0, node.find('@'));
  if (is_name(name)) return name;
  throw std::invalid_argument(
      "expected a node's name to be name@host, with 1 to 255 bytes of UTF-8 without blanks before "
      "the @, "
      "got " +
      node);
}

port_entry entry_of(const port_mapper::options& options) {
  return {.name = short_name_of(options.node), .port = options.port, .extra = "roost"};
}

std::string taken_text(const std::string& node, const std::string& where) {
  return "expected the part before @ of " + node +
         " to be free on this host, got one that another node has: the port mapper at " + where +
         " knows that part only, so two nodes on one host need different ones";
}

}  // namespace

class port_mapper::loop {
 public:
  explicit loop(options options)
      : options_(std::move(options)),
        epmd_port_(epmd_port_or_default(options_.epmd_port)),
        primary_(loopback(epmd_port_)),
        own_(entry_of(options_)),
        server_(own_, epmd_port_, [this] { return random_device_(); }),
        clients_(server_, primary_),
        wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (!wake_) throw std::system_error(errno, std::generic_category(), "eventfd");
    find_addresses();
    begin();
    auto deadline = clock::now() + time_to_start;
    while (!is_settled()) {
      if (is_taken_) throw std::runtime_error(taken_text(options_.node, primary_.to_string()));
      if (clock::now() >= deadline)
        throw std::runtime_error(
            "expected the port mapper at " + primary_.to_string() + " to take the name " +
            own_.name + " within 5 s, got \"" + trouble_ + '"');
      turn(deadline);
    }
    start_thread();
  }

  ~loop() {
    stops_ = true;
    std::uint64_t one = 1;
    [[maybe_unused]] auto written = ::write(wake_.get(), &one, sizeof one);
    if (thread_.joinable()) thread_.join();
  }

  loop(const loop&) = delete;
  loop& operator=(const loop&) = delete;

  bool serves() const { return serves_; }
  std::uint32_t creation() const { return creation_; }

 private:
  enum class phase { waiting, connecting, asking, registered, serving };

  bool is_settled() const { return phase_ == phase::registered || phase_ == phase::serving; }

  void start_thread() {
    // Signals belong to the threads that expect them.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    thread_ = std::thread([this] {
      while (!stops_) turn(std::nullopt);
    });
    ::pthread_setname_np(thread_.native_handle(), "roost epmd");
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  /// Waits for something to happen, and does what follows.
  void turn(std::optional<clock::time_point> limit) {
    polled_.clear();
    polled_.push_back({wake_.get(), POLLIN, 0});
    polled_.push_back(
        {socket_.get(), phase_ == phase::connecting ? short{POLLOUT} : short{POLLIN}, 0});
    clients_.watch(polled_);
    auto due = earliest({due_, clients_.due(), limit});
    if (::poll(polled_.data(), polled_.size(), patience_until(due)) > 0) {
      if (polled_[1].revents != 0) proceed();
      clients_.handle(std::span(polled_).subspan(2));
    }
    auto now = clock::now();
    clients_.cut_off(now);
    if (due_ && *due_ <= now) time_is_up();
  }

  static std::optional<clock::time_point> earliest(
      std::initializer_list<std::optional<clock::time_point>> times) {
    std::optional<clock::time_point> result;
    for (auto& time : times)
      if (time && (!result || *time < *result)) result = time;
    return result;
  }

  static int patience_until(std::optional<clock::time_point> due) {
    if (!due) return -1;
    auto left = std::chrono::ceil<milliseconds>(*due - clock::now()).count();
    return static_cast<int>(std::clamp<long long>(left, 0, 3'600'000));
  }

  // --- registering -------------------------------------------------------------------------------

  void begin() {
    int error = 0;
    socket_ = start_connect(primary_, error);
    if (error == ECONNREFUSED) return serve();
    if (error != 0) return retry(error_text(error));
    answer_.clear();
    phase_ = phase::connecting;
    due_ = clock::now() + time_to_answer;
  }

  /// The socket to the port mapper has something to tell.
  void proceed() {
    if (phase_ == phase::connecting) return connected();
    if (phase_ == phase::asking) return answered();
    char ignored[64];
    auto size = ::recv(socket_.get(), ignored, sizeof ignored, 0);
    if (size > 0 || (size < 0 && (errno == EAGAIN || errno == EINTR))) return;
    socket_.reset();
    event("lost", primary_.to_string());
    retry({});
  }

  void connected() {
    int error = connect_error(socket_);
    if (error == ECONNREFUSED) return serve();
    if (error != 0) return retry(error_text(error));
    auto request = encode_register(own_);
    // A new connection takes more than this at once.
    auto sent = ::send(socket_.get(), request.data(), request.size(), MSG_NOSIGNAL);
    if (sent != static_cast<ssize_t>(request.size())) return retry(error_text(errno));
    phase_ = phase::asking;
  }

  void answered() {
    char block[64];
    auto size = ::recv(socket_.get(), block, sizeof block, 0);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (size < 0) return retry(error_text(errno));
    if (size == 0) return retry("the connection was closed");
    answer_.append(block, static_cast<std::size_t>(size));
    registration answer;
    auto state = decode_registration(answer_, answer);
    if (state == progress::malformed) return retry("another answer than EPMD's");
    if (state == progress::incomplete) return;
    if (answer.accepted)
      settle(phase::registered, answer.creation);
    else
      refused();
  }

  void refused() {
    if (!std::exchange(is_taken_, true) && creation_ != 0)
      event("name_taken", taken_text(options_.node, primary_.to_string()));
    retry({});
  }

  void time_is_up() {
    if (phase_ == phase::waiting) return begin();
    retry("no answer within 5 s");
  }

  /// Tries again later. Says why, if it is not what it said before.
  void retry(const std::string& why) {
    socket_.reset();
    phase_ = phase::waiting;
    auto longest = std::min(first_delay * (1 << std::min(failures_++, 10)), longest_delay);
    std::uniform_int_distribution<milliseconds::rep> delay(longest.count() / 10, longest.count());
    due_ = clock::now() + milliseconds(delay(random_device_));
    if (why.empty() || why == trouble_) return;
    trouble_ = why;
    // Before the first success there is somebody to throw it at.
    if (creation_ != 0) event("unreachable", primary_.to_string() + ": " + why);
  }

  void settle(phase how, std::uint32_t creation) {
    phase_ = how;
    due_.reset();
    failures_ = 0;
    is_taken_ = false;
    trouble_.clear();
    // Pids that are about already carry the first.
    if (creation_ == 0) creation_ = std::max(creation, 1U);
    listen_elsewhere();
    if (how == phase::serving)
      event("serving", clients_.addresses());
    else
      event("registered", primary_.to_string());
  }

  // --- serving -----------------------------------------------------------------------------------

  void find_addresses() {
    auto deadline = clock::now() + time_to_start;
    for (auto& host : options_.addresses)
      for (auto& address : resolve(host, epmd_port_, deadline))
        if (!(address == primary_)) addresses_.push_back(address);
  }

  /// Nobody listens: become the port mapper of this host. Who has 127.0.0.1 is that.
  void serve() {
    socket_.reset();
    int error = EADDRINUSE;
    for (auto& address : addresses_)
      if (error != 0 && address.is_any() && address.family() == AF_INET)
        error = clients_.listen(address, false);
    // Those who answer at one of the addresses are in the way of 0.0.0.0.
    if (error != 0) error = clients_.listen(primary_, false);
    // Another node was faster. It is worth a word only if it stays so: then who listens does not
    // answer.
    const bool lost_race = error == EADDRINUSE && failures_ < 3;
    if (error != 0) return retry(lost_race ? std::string() : error_text(error));
    server_.is_primary(true);
    serves_ = true;
    settle(phase::serving, server_.own_creation());
  }

  /// Listens at the node's own addresses where nobody does. The port mapper of this host alone
  /// keeps an address for itself, as those who merely relay share theirs: when one ends, the next
  /// is there.
  void listen_elsewhere() {
    for (auto& address : other_addresses()) {
      if (clients_.listens_at(address)) continue;
      int error = serves_ ? clients_.listen(address, false) : EADDRINUSE;
      if (error == EADDRINUSE) error = clients_.listen(address, true);
      // In use: by the port mapper of this host, which answers there.
      if (error != 0 && error != EADDRINUSE)
        event("not_served", address.to_string() + ": " + error_text(error));
    }
  }

  std::vector<socket_address> other_addresses() const {
    std::vector<socket_address> result;
    for (auto& address : addresses_) {
      if (!address.is_any() || address.family() != AF_INET) {
        result.push_back(address);
        continue;
      }
      auto all = interface_addresses(epmd_port_);
      result.insert(result.end(), all.begin(), all.end());
    }
    return result;
  }

  void event(std::string_view name, std::string_view detail) const {
    if (options_.on_event) options_.on_event(name, detail);
  }

  const options options_;
  const std::uint16_t epmd_port_;
  const socket_address primary_;
  const port_entry own_;
  std::random_device random_device_;
  server server_;
  clients clients_;
  unique_fd wake_;
  std::vector<socket_address> addresses_;

  phase phase_ = phase::waiting;
  unique_fd socket_;                      // to the port mapper, while this node is not it
  std::string answer_;                    // of the port mapper, as far as it has come
  std::optional<clock::time_point> due_;  // when waiting is over
  int failures_ = 0;                      // since the last success
  bool is_taken_ = false;                 // the last failure was that another node has the name
  std::string trouble_;                   // the last other failure
  std::vector<pollfd> polled_;

  std::atomic<bool> serves_{false};
  std::atomic<std::uint32_t> creation_{0};
  std::atomic<bool> stops_{false};
  std::thread thread_;
};

port_mapper::port_mapper(options options) : loop_(std::make_unique<loop>(std::move(options))) {}

port_mapper::~port_mapper() = default;

bool port_mapper::serves() const { return loop_->serves(); }

std::uint32_t port_mapper::creation() const { return loop_->creation(); }

}  // namespace roost::detail
