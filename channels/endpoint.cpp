// The endpoint's process owns the listening socket. On every worker a process of its own keeps the
// connections of that worker: it adopts accepted descriptors, looks for silent clients, and says
// goodbye to all of them when the endpoint stops.
#include "channels/endpoint.hpp"
#include "channels/endpoint_context.hpp"
#include "channels/transport/connection.hpp"
#include "channels/transport/http_server.hpp"
#include "runtime/config.hpp"
#include "runtime/logger.hpp"
#include <sys/epoll.h>
#include <sys/socket.h>
#include <algorithm>
#include <filesystem>

namespace roost {

// --- values
// ------------------------------------------------------------------------------------------

std::optional<std::string_view> params::operator[](std::string_view name) const noexcept {
  for (auto entry = entries_.rbegin(); entry != entries_.rend(); ++entry)
    if (entry->first == name) return entry->second;
  return std::nullopt;
}

std::string_view http_request::header(std::string_view lower_case_name) const noexcept {
  for (auto& [name, value] : headers)
    if (name == lower_case_name) return value;
  return {};
}

http_response json_response(int status, const json& body) {
  return {.status = status, .body = body.dump(), .content_type = "application/json"};
}

namespace detail {
namespace {

constexpr std::chrono::milliseconds sweep_interval{100};

/// An accepted descriptor on its way to its worker; closed if it never gets there.
struct new_connection {
  explicit new_connection(int fd) noexcept : fd(fd) {}
  new_connection(new_connection&& other) noexcept : fd(std::exchange(other.fd, -1)) {}
  new_connection& operator=(new_connection&&) = delete;
  ~new_connection() {
    if (fd >= 0) ::close(fd);
  }
  int fd;
};
struct sweep {};
struct drain {};
struct drained { std::uint32_t worker; };

// --- the connections of one worker
// -------------------------------------------------------------------

class connections_process final : public behavior {
 public:
  connections_process(
      std::shared_ptr<const endpoint_context> context, pid endpoint, std::uint32_t worker)
      : context_(std::move(context)), endpoint_(endpoint), worker_(worker) {}

  ~connections_process() override {
    connections_.for_each([](connection& connection) { connection.cut(); });
  }

  std::string_view initial_call() const noexcept override { return "roost::endpoint.connections"; }

  init_outcome init() override {
    link(endpoint_);
    return {};
  }

  void handle(message& message) override {
    if (auto* accepted = value_of<new_connection>(message)) {
      serve_http(std::exchange(accepted->fd, -1), context_, connections_);
      keep_sweeping();
    } else if (value_of<sweep>(message) != nullptr) {
      sweeping_ = false;
      auto now = worker::current()->now();
      connections_.for_each([now](connection& connection) { connection.sweep(now); });
      keep_sweeping();
    } else if (value_of<drain>(message) != nullptr) {
      draining_ = true;
      connections_.for_each([](connection& connection) { connection.drain(); });
      keep_sweeping();
    }
  }

 private:
  /// Looks in again while there are connections: an idle endpoint has no timer.
  void keep_sweeping() {
    if (connections_.size() > 0) {
      if (!std::exchange(sweeping_, true)) send_after(sweep_interval, self(), sweep{});
    } else if (std::exchange(draining_, false)) {
      send(endpoint_, drained{worker_});
    }
  }

  std::shared_ptr<const endpoint_context> context_;
  pid endpoint_;
  std::uint32_t worker_;
  connection_list connections_;
  bool sweeping_ = false;
  bool draining_ = false;
};

// --- accepting
// ---------------------------------------------------------------------------------------

class listener final : public io_handler {
 public:
  listener(int fd, std::vector<pid> targets) : fd_(fd), targets_(std::move(targets)) {
    worker::current()->watch(fd_, EPOLLIN, *this);
  }
  ~listener() override {
    worker::current()->unwatch(fd_);
    ::close(fd_);
  }

  void on_io(std::uint32_t) override {
    // A bounded number at a time, so that a flood of connections leaves time for the others.
    for (int i = 0; i < 64; ++i) {
      int fd = ::accept4(fd_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd >= 0) {
        send(targets_[least_loaded()], new_connection{fd});
        continue;
      }
      if (errno == EMFILE || errno == ENFILE) return shed();
      if (errno != EINTR && errno != ECONNABORTED) return;
    }
  }

 private:
  std::size_t least_loaded() {
    auto* all = scheduler::instance();
    // What was just handed over is not counted there yet, so equals take turns.
    std::size_t best = next_++ % targets_.size();
    for (std::size_t i = 0; i < targets_.size(); ++i)
      if (all->at(i).load() + 8 < all->at(best).load()) best = i;
    return best;
  }

  /// Out of descriptors: without this the waiting connection would wake us for ever.
  void shed() {
    ::close(std::exchange(spare_, -1));
    int fd = ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd >= 0) ::close(fd);
    spare_ = ::dup(fd_);
    auto now = exact_now();
    if (now - complained_ < 1000) return;
    complained_ = now;
    logger::error("out of file descriptors, refusing connections", {});
  }

  int fd_;
  int spare_ = ::dup(fd_);
  std::size_t next_ = 0;
  std::uint64_t complained_ = 0;
  std::vector<pid> targets_;
};

// --- the endpoint
// ------------------------------------------------------------------------------------

struct running_endpoint {
  std::string name;
  int port;
};
std::mutex running_mutex;
std::vector<running_endpoint>& running_endpoints() {
  static auto& all = *new std::vector<running_endpoint>;
  return all;
}

class endpoint_process final : public behavior {
 public:
  explicit endpoint_process(endpoint_spec spec) : spec_(std::move(spec)) {}

  ~endpoint_process() override {
    listener_.reset();
    if (fd_ >= 0) ::close(fd_);
    std::lock_guard guard{running_mutex};
    std::erase_if(running_endpoints(), [&](auto& other) { return other.name == spec_.name; });
  }

  std::string_view initial_call() const noexcept override { return "roost::endpoint"; }

  init_outcome init() override {
    trap_exit(true);
    auto context = std::make_shared<endpoint_context>();
    context->spec = spec_;
    context->pub_sub = hub::find(spec_.pub_sub);
    if (!spec_.check_origin.on)
      context->origins.check = origin_rules::off;
    else if (!spec_.check_origin.allowed.empty())
      context->origins = allow_origins(spec_.check_origin.allowed);
    context_ = std::move(context);
    fd_ = listen_on(spec_.http);
    start_connections();
    return {init_status::later, {}};
  }

  void handle(message& message) override {
    if (auto* exit = value_of<exited>(message))
      on_exit(*exit);
    else if (value_of<drained>(message) != nullptr && ++drained_ == targets_.size())
      stop_self(stop_reason_);
    else if (value_of<timeout>(message) != nullptr)
      stop_self(stop_reason_);
  }

 private:
  /// One process on each worker; the endpoint is ready when all of them are.
  void start_connections() {
    auto* all = scheduler::instance();
    targets_.resize(all->size());
    auto endpoint = self();
    for (std::uint32_t i = 0; i < all->size(); ++i) {
      auto start = [this, endpoint, i, context = context_] {
        start_request request;
        request.worker = static_cast<int>(i);
        request.owned = true;
        auto outcome = start_process(
            std::make_unique<connections_process>(context, endpoint, i), std::move(request));
        run_in(endpoint, [this, i, process = outcome.process] { on_started(i, process); });
      };
      all->at(i).post_function(std::move(start));
    }
  }

  void on_started(std::uint32_t worker, pid process) {
    targets_[worker] = process;
    if (++started_ < targets_.size()) return;
    auto port = port_of(fd_);
    {
      std::lock_guard guard{running_mutex};
      running_endpoints().push_back({spec_.name, port});
    }
    listener_ = std::make_unique<listener>(std::exchange(fd_, -1), targets_);
    logger::info("listening", {{"endpoint", spec_.name}, {"ip", spec_.http.ip}, {"port", port}});
    finish_init({});
  }

  void on_exit(const exited& exit) {
    if (!is_parent_exit(exit)) {
      bool ours = std::find(targets_.begin(), targets_.end(), exit.from) != targets_.end();
      if (ours && !stopping_) stop_self(exit.reason);
      return;
    }
    if (std::exchange(stopping_, true)) return;
    stop_reason_ = exit.reason;
    listener_.reset();
    for (auto target : targets_) send(target, drain{});
    send_after(spec_.drain_timeout, self(), timeout{});
  }

  endpoint_spec spec_;
  std::shared_ptr<const endpoint_context> context_;
  int fd_ = -1;
  std::unique_ptr<listener> listener_;
  std::vector<pid> targets_;
  std::size_t started_ = 0;
  std::size_t drained_ = 0;
  bool stopping_ = false;
  exit_reason stop_reason_;
};

// --- configuration
// -----------------------------------------------------------------------------------

/// As given, else beside the program's own directory, as the configuration file itself.
std::string find_directory(const std::string& directory) {
  namespace fs = std::filesystem;
  std::error_code error;
  if (directory.empty() || fs::path(directory).is_absolute() || fs::is_directory(directory, error))
    return directory;
  auto program = fs::read_symlink("/proc/self/exe", error);
  auto beside = program.parent_path().parent_path() / directory;
  return fs::is_directory(beside, error) ? beside.string() : directory;
}

origin_check read_origins(const config& section, origin_check fallback) {
  switch (section.kind("check_origin")) {
    case config_kind::absent:
      return fallback;
    case config_kind::boolean:
      return section.get<bool>("check_origin", true);
    default:
      return section.get<std::vector<std::string>>("check_origin", {});
  }
}

/// The configuration's section overrides numbers and addresses, never types.
void apply_configuration(endpoint_spec& spec) {
  auto section = application_config().section(spec.name);
  spec.http.ip = section.get<std::string>("http.ip", spec.http.ip);
  spec.http.port = section.get_in<int>("http.port", spec.http.port, 0, 65535);
  spec.url_host = section.get<std::string>("url.host", spec.url_host);
  spec.check_origin = read_origins(section, spec.check_origin);
  spec.static_files = find_directory(section.get<std::string>("static", spec.static_files));
  spec.drain_timeout = section.get<std::chrono::milliseconds>("drain_timeout", spec.drain_timeout);
}

void validate(const endpoint_spec& spec) {
  if (spec.pub_sub.empty())
    throw std::invalid_argument(
        "expected endpoint's .pub_sub to be set, got an empty one: name the pub_sub that is "
        "started before it, as in .pub_sub = \"chat\"");
  for (auto& mount : spec.sockets)
    if (!mount.path.starts_with('/'))
      throw std::invalid_argument("expected a socket's path to begin with /, got " + mount.path);
  std::error_code error;
  if (!spec.static_files.empty() && !std::filesystem::is_directory(spec.static_files, error))
    throw std::invalid_argument(
        "expected " + spec.name + ".static to be a directory, got " + spec.static_files);
  if (spec.check_origin.on && !spec.check_origin.allowed.empty())
    allow_origins(spec.check_origin.allowed);  // throws on a bad one
}

}  // namespace
}  // namespace detail

child_spec endpoint::child_spec(options options) {
  detail::apply_configuration(options);
  detail::validate(options);
  return {
      .id = options.name,
      .start = detail::starter(
          [options] { return std::make_unique<detail::endpoint_process>(options); }, options.name,
          true),
      .shutdown = options.drain_timeout + std::chrono::seconds(5),
      .type = child_type::supervisor};
}

int endpoint_port(std::string_view name) {
  std::lock_guard guard{detail::running_mutex};
  for (auto& endpoint : detail::running_endpoints())
    if (endpoint.name == name) return endpoint.port;
  return 0;
}

}  // namespace roost
