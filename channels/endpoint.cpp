// The endpoint's process owns the listening sockets. On every worker a process of its own keeps the
// clients of that worker: it adopts accepted descriptors, looks for silent clients, and says
// goodbye to them when the endpoint drains.
#include "channels/endpoint.hpp"
#include "channels/endpoint_context.hpp"
#include "channels/transport/connection.hpp"
#include "channels/transport/http_server.hpp"
#include "runtime/config.hpp"
#include "runtime/distribution/node.hpp"
#include "runtime/logger.hpp"
#include "runtime/telemetry.hpp"
#include "supervision/release/control_socket.hpp"
#include <openssl/rand.h>
#include <algorithm>
#include <filesystem>
#include <numeric>

namespace roost {

// --- values --------------------------------------------------------------------------------------

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

struct sweep {};
/// Close so many sockets; tell how many are left.
struct drain_sockets { std::size_t count; };
/// The endpoint stops: the rest goes as well. `drained` follows when nobody is left.
struct drain_all {};
struct sockets_left {
  std::uint32_t worker;
  std::size_t count;
};
struct drained { std::uint32_t worker; };

// --- the clients of one worker -------------------------------------------------------------------

class clients_process final : public behavior {
 public:
  clients_process(
      std::shared_ptr<const endpoint_context> context, pid endpoint, std::uint32_t worker)
      : context_(std::move(context)),
        endpoint_(endpoint),
        worker_(worker),
        clients_(*context_->admission) {}

  ~clients_process() override {
    clients_.for_each([](attended& client) { client.cut(); });
  }

  std::string_view initial_call() const noexcept override { return "roost::endpoint.clients"; }

  init_outcome init() override {
    link(endpoint_);
    return {};
  }

  void handle(message& message) override {
    if (auto* accepted = value_of<new_connection>(message)) {
      serve_http(std::move(*accepted), context_, clients_);
      keep_sweeping();
    } else if (value_of<sweep>(message) != nullptr) {
      sweeping_ = false;
      auto now = worker::current()->now();
      clients_.for_each([now](attended& client) { client.sweep(now); });
      keep_sweeping();
    } else if (auto* batch = value_of<drain_sockets>(message)) {
      drain_some(batch->count);
    } else if (value_of<drain_all>(message) != nullptr) {
      draining_ = true;
      clients_.for_each([](attended& client) { client.drain(); });
      keep_sweeping();
    }
  }

 private:
  void drain_some(std::size_t most) {
    std::size_t left = 0;
    clients_.for_each([&](attended& client) {
      if (!client.is_socket() || client.says_goodbye) return;
      if (most == 0) {
        ++left;
        return;
      }
      --most;
      client.says_goodbye = true;
      client.drain();
    });
    send(endpoint_, sockets_left{worker_, left});
  }

  /// Looks in again while there are clients: an idle endpoint has no timer.
  void keep_sweeping() {
    if (clients_.size() > 0) {
      if (!std::exchange(sweeping_, true)) send_after(sweep_interval, self(), sweep{});
    } else if (std::exchange(draining_, false)) {
      send(endpoint_, drained{worker_});
    }
  }

  std::shared_ptr<const endpoint_context> context_;
  pid endpoint_;
  std::uint32_t worker_;
  client_list clients_;
  bool sweeping_ = false;
  bool draining_ = false;
};

// --- the endpoint --------------------------------------------------------------------------------

struct begin_drain {};
struct next_batch {};
struct look_at_certificates {
  bool again = true;  // at the next interval
};

struct running_endpoint {
  std::string name;
  int port = 0;
  int https_port = 0;
  pid process;
  std::shared_ptr<const endpoint_context> context;
};

std::mutex running_mutex;
std::vector<running_endpoint>& running_endpoints() {
  static auto& all = *new std::vector<running_endpoint>;
  return all;
}

std::optional<running_endpoint> find_running(std::string_view name) {
  std::lock_guard guard{running_mutex};
  for (auto& endpoint : running_endpoints())
    if (endpoint.name == name) return endpoint;
  return std::nullopt;
}

std::optional<origin_rules> rules_of(const origin_check& check) {
  switch (check.what) {
    case origin_check::kind::off:
      return origin_rules{.check = origin_rules::off};
    case origin_check::kind::url_host:
      return origin_rules{};
    case origin_check::kind::same_origin:
      return origin_rules{.check = origin_rules::same_origin};
    case origin_check::kind::listed:
      return allow_origins(check.allowed);
    case origin_check::kind::asked:
      return std::nullopt;
  }
  return std::nullopt;
}

/// The same on all nodes of a cluster, so that each takes the others' tokens; without a cluster,
/// good for this run.
std::string secret_of(const endpoint_spec& spec) {
  if (!spec.secret_key_base.empty()) return spec.secret_key_base;
  if (auto cookie = node::cookie(); !cookie.empty()) return "roost.endpoint." + cookie;
  std::string random(64, '\0');
  if (RAND_bytes(reinterpret_cast<unsigned char*>(random.data()), 64) != 1)
    throw std::runtime_error("expected OpenSSL to have random numbers, got none");
  return random;
}

std::shared_ptr<endpoint_context> make_context(const endpoint_spec& spec) {
  auto context = std::make_shared<endpoint_context>();
  context->spec = spec;
  context->pub_sub = hub::find(spec.pub_sub);
  context->origins = rules_of(spec.check_origin).value_or(origin_rules{});
  context->trusted = networks(spec.trusted_proxies);
  context->admission = std::make_unique<admission>(spec.name, spec.limits);
  if (!spec.https.certfile.empty()) context->tls = std::make_unique<certificates>(spec.https);
  for (auto& mount : spec.sockets) {
    auto& own = mount.options.check_origin;
    context->socket_origins.push_back(own ? rules_of(*own) : std::nullopt);
    if (mount.options.longpoll && !context->tokens) context->tokens.emplace(secret_of(spec));
  }
  return context;
}

class endpoint_process final : public behavior {
 public:
  explicit endpoint_process(endpoint_spec spec) : spec_(std::move(spec)) {}

  ~endpoint_process() override {
    listeners_.clear();
    std::lock_guard guard{running_mutex};
    std::erase_if(running_endpoints(), [&](auto& other) { return other.name == spec_.name; });
  }

  std::string_view initial_call() const noexcept override { return "roost::endpoint"; }

  init_outcome init() override {
    trap_exit(true);
    context_ = make_context(spec_);
    if (spec_.http.enabled)
      open(spec_.http.ip, spec_.http.port, {.proxy_protocol = spec_.http.proxy_protocol});
    if (context_->tls)
      open(
          spec_.https.ip, spec_.https.port,
          {.tls = true, .proxy_protocol = spec_.https.proxy_protocol});
    start_clients();
    return {init_status::later, {}};
  }

  void handle(message& message) override {
    if (auto* exit = value_of<exited>(message)) {
      on_exit(*exit);
    } else if (auto* left = value_of<sockets_left>(message)) {
      left_[left->worker] = left->count;
    } else if (value_of<next_batch>(message) != nullptr) {
      drain_batch();
    } else if (value_of<drained>(message) != nullptr) {
      if (++drained_ == targets_.size()) stop_self(stop_reason_);
    } else if (value_of<timeout>(message) != nullptr) {
      stop_self(stop_reason_);
    } else if (value_of<begin_drain>(message) != nullptr) {
      drain();
    } else if (auto* look = value_of<look_at_certificates>(message)) {
      renew_certificates(look->again);
    } else {
      unexpected(message, initial_call());
    }
  }

 private:
  struct opened {
    listening_socket socket;
    listening what;
  };

  void open(const std::string& ip, int port, listening what) {
    listening_socket socket(ip, port);
    what.local = socket.is_local();
    sockets_.push_back({std::move(socket), what});
  }

  /// One process on each worker; the endpoint is ready when all of them are.
  void start_clients() {
    auto* all = scheduler::instance();
    targets_.resize(all->size());
    left_.resize(all->size());
    auto endpoint = self();
    for (std::uint32_t i = 0; i < all->size(); ++i) {
      auto start = [this, endpoint, i, context = context_] {
        start_request request;
        request.worker = static_cast<int>(i);
        request.owned = true;
        auto outcome = start_process(
            std::make_unique<clients_process>(context, endpoint, i), std::move(request));
        run_in(endpoint, [this, i, process = outcome.process] { on_started(i, process); });
      };
      all->at(i).post_function(std::move(start));
    }
  }

  void on_started(std::uint32_t worker, pid process) {
    targets_[worker] = process;
    if (++started_ < targets_.size()) return;
    running_endpoint running{.name = spec_.name, .process = self(), .context = context_};
    for (auto& opened : sockets_) {
      (opened.what.tls ? running.https_port : running.port) = opened.socket.port();
      logger::info(
          "listening", {{"endpoint", spec_.name},
                        {"scheme", opened.what.tls ? "https" : "http"},
                        {"ip", opened.what.tls ? spec_.https.ip : spec_.http.ip},
                        {"port", opened.socket.port()}});
      listeners_.push_back(
          std::make_unique<acceptor>(std::move(opened.socket), opened.what, targets_));
    }
    sockets_.clear();
    {
      std::lock_guard guard{running_mutex};
      running_endpoints().push_back(std::move(running));
    }
    static const telemetry::event init{"phoenix.endpoint.init"};
    telemetry::execute(init, {}, {{"endpoint", spec_.name}, {"port", endpoint_port(spec_.name)}});
    if (context_->tls) send_after(spec_.https.reload_interval, self(), look_at_certificates{});
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
    listeners_.clear();
    send_after(spec_.drainer.shutdown, self(), timeout{});
    drain();
    if (all_told_) drain_rest();
  }

  // --- draining ----------------------------------------------------------------------------------

  void drain() {
    if (std::exchange(draining_, true)) return;
    context_->admission->drain();
    total_ = context_->admission->statistics().sockets;
    rounds_ = (total_ + spec_.drainer.batch_size - 1) / spec_.drainer.batch_size;
    logger::info("draining", {{"endpoint", spec_.name}, {"sockets", total_}, {"rounds", rounds_}});
    drain_batch();
  }

  void drain_batch() {
    auto left = std::accumulate(left_.begin(), left_.end(), std::size_t{0});
    if (round_ > 0 && left == 0) return drain_done();
    auto each = (spec_.drainer.batch_size + targets_.size() - 1) / targets_.size();
    static const telemetry::event socket_drain{"phoenix.socket_drain"};
    telemetry::execute(
        socket_drain,
        {{"count", std::min<std::size_t>(spec_.drainer.batch_size, round_ == 0 ? total_ : left)},
         {"total", total_},
         {"index", ++round_},
         {"rounds", rounds_}},
        {{"endpoint", spec_.name}});
    for (auto target : targets_) send(target, drain_sockets{each});
    // The last batch needs no pause behind it.
    bool last = round_ >= rounds_;
    send_after(last ? sweep_interval : spec_.drainer.batch_interval, self(), next_batch{});
  }

  void drain_done() {
    if (std::exchange(all_told_, true)) return;
    logger::info("drained", {{"endpoint", spec_.name}, {"sockets", total_}});
    if (stopping_) drain_rest();
  }

  void drain_rest() {
    for (auto target : targets_) send(target, drain_all{});
  }

  void renew_certificates(bool again) {
    if (again) send_after(spec_.https.reload_interval, self(), look_at_certificates{});
    if (!context_->tls || (again && !context_->tls->changed())) return;
    try {
      context_->tls->reload();
      logger::info("certificate renewed", {{"endpoint", spec_.name}});
    } catch (const std::exception& error) {
      logger::error(
          "the new certificate cannot be used, keeping the old one",
          {{"endpoint", spec_.name}, {"reason", error.what()}});
    }
  }

  endpoint_spec spec_;
  std::shared_ptr<endpoint_context> context_;
  std::vector<opened> sockets_;  // until everything is ready
  std::vector<std::unique_ptr<acceptor>> listeners_;
  std::vector<pid> targets_;
  std::vector<std::size_t> left_;  // sockets that have not been told to go, by worker
  std::size_t started_ = 0;
  std::size_t drained_ = 0;
  std::size_t total_ = 0;
  std::size_t rounds_ = 0;
  std::size_t round_ = 0;
  bool draining_ = false;
  bool all_told_ = false;
  bool stopping_ = false;
  exit_reason stop_reason_;
};

// --- configuration -------------------------------------------------------------------------------

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
    default: {
      auto listed = section.get<std::vector<std::string>>("check_origin", {});
      if (listed.size() == 1 && listed.front() == "conn") return same_origin;
      return listed;
    }
  }
}

void read_limits(const config& section, endpoint_limits& limits) {
  auto number = [&](std::string_view key, auto& value) {
    using number_type = std::remove_reference_t<decltype(value)>;
    value = section.get_in<number_type>(
        key, value, 0, static_cast<number_type>(std::numeric_limits<std::int32_t>::max()));
  };
  auto time = [&](std::string_view key, std::chrono::milliseconds& value) {
    value = section.get<std::chrono::milliseconds>(key, value);
  };
  auto size = [&](std::string_view key, std::size_t& value) {
    value = section.get<byte_size>(key, byte_size{value}).bytes;
  };
  number("max_connections", limits.max_connections);
  number("max_sockets", limits.max_sockets);
  number("max_sockets_per_address", limits.max_sockets_per_address);
  number("accept_rate", limits.accept_rate);
  number("accept_burst", limits.accept_burst);
  time("handshake_timeout", limits.handshake_timeout);
  time("request_timeout", limits.request_timeout);
  time("keep_alive_timeout", limits.keep_alive_timeout);
  size("max_header", limits.max_header);
  size("max_body", limits.max_body);
  limits.enforce = section.get<bool>("enforce", limits.enforce);
}

/// The configuration's section overrides numbers, addresses and files, never types.
void apply_configuration(endpoint_spec& spec) {
  auto section = application_config().section(spec.name);
  auto& http = spec.http;
  http.enabled = section.get<bool>("http.enabled", http.enabled);
  http.ip = section.get<std::string>("http.ip", http.ip);
  http.port = section.get_in<int>("http.port", http.port, 0, 65535);
  http.proxy_protocol = section.get<bool>("http.proxy_protocol", http.proxy_protocol);
  auto& https = spec.https;
  https.ip = section.get<std::string>("https.ip", https.ip);
  https.port = section.get_in<int>("https.port", https.port, 0, 65535);
  https.certfile = section.get<std::string>("https.certfile", https.certfile);
  https.keyfile = section.get<std::string>("https.keyfile", https.keyfile);
  https.proxy_protocol = section.get<bool>("https.proxy_protocol", https.proxy_protocol);
  https.reload_interval =
      section.get<std::chrono::milliseconds>("https.reload_interval", https.reload_interval);
  spec.url_host = section.get<std::string>("url.host", spec.url_host);
  spec.check_origin = read_origins(section, spec.check_origin);
  spec.secret_key_base = section.get<std::string>("secret_key_base", spec.secret_key_base);
  spec.trusted_proxies =
      section.get<std::vector<std::string>>("trusted_proxies", spec.trusted_proxies);
  spec.static_files = find_directory(section.get<std::string>("static", spec.static_files));
  read_limits(section.section("limits"), spec.limits);
  auto drainer = section.section("drainer");
  spec.drainer.batch_size =
      drainer.get_in<std::size_t>("batch_size", spec.drainer.batch_size, 1, 1'000'000);
  spec.drainer.batch_interval =
      drainer.get<std::chrono::milliseconds>("batch_interval", spec.drainer.batch_interval);
  spec.drainer.shutdown = drainer.get<std::chrono::milliseconds>("shutdown", spec.drainer.shutdown);
}

/// What `chat drain` asks, again and again: how many sockets are left, and how long they may take.
control_reply drain_command(const std::vector<std::string>&) {
  std::vector<running_endpoint> all;
  {
    std::lock_guard guard{running_mutex};
    all = running_endpoints();
  }
  if (all.empty()) return {.text = "expected an endpoint to run, got none", .failed = true};
  std::uint64_t left = 0;
  std::chrono::milliseconds limit{0};
  for (auto& endpoint : all) {
    if (!endpoint.context->admission->draining()) send(endpoint.process, begin_drain{});
    left += endpoint.context->admission->statistics().sockets;
    limit = std::max(limit, endpoint.context->spec.drainer.shutdown);
  }
  return {.text = std::to_string(left) + " " + std::to_string(limit.count())};
}

void validate(const socket_mount& mount) {
  auto expect = [&](bool good, std::string_view what) {
    if (!good)
      throw std::invalid_argument(
          "expected the socket at " + mount.path + " to have " + std::string(what));
  };
  if (!mount.path.starts_with('/'))
    throw std::invalid_argument("expected a socket's path to begin with /, got " + mount.path);
  auto& options = mount.options;
  expect(options.max_frame_size >= 125, "a .max_frame_size of 125 bytes or more");
  expect(options.max_joins > 0, "a .max_joins of 1 or more");
  expect(options.message_rate <= 1'000'000, "a .message_rate of at most 1,000,000");
  if (options.check_origin) (void)rules_of(*options.check_origin);  // throws on a bad one
  if (!options.longpoll) return;
  using namespace std::chrono_literals;
  auto window = options.longpoll->window;
  expect(window >= 100ms && window <= 10min, "a .longpoll window of 100 ms to 10 min");
}

void validate(const endpoint_spec& spec) {
  if (spec.pub_sub.empty())
    throw std::invalid_argument(
        "expected endpoint's .pub_sub to be set, got an empty one: name the pub_sub that is "
        "started before it, as in .pub_sub = \"chat\"");
  for (auto& mount : spec.sockets) validate(mount);
  std::error_code error;
  if (!spec.static_files.empty() && !std::filesystem::is_directory(spec.static_files, error))
    throw std::invalid_argument(
        "expected " + spec.name + ".static to be a directory, got " + spec.static_files);
  if (!spec.http.enabled && spec.https.certfile.empty())
    throw std::invalid_argument(
        "expected " + spec.name + " to have http.enabled or an https.certfile, got neither");
  (void)rules_of(spec.check_origin);  // throws on a bad one
  (void)networks(spec.trusted_proxies);
  if (!spec.https.certfile.empty()) (void)certificates(spec.https);
  if (!spec.secret_key_base.empty()) (void)token_keys(spec.secret_key_base);
}

}  // namespace
}  // namespace detail

child_spec endpoint::child_spec(options options) {
  detail::apply_configuration(options);
  detail::validate(options);
  detail::offer_control_command("drain", detail::drain_command);
  return {
      .id = options.name,
      .start = detail::starter(
          [options] { return std::make_unique<detail::endpoint_process>(options); }, options.name,
          true),
      .shutdown = options.drainer.shutdown + std::chrono::seconds(5),
      .type = child_type::supervisor};
}

bool endpoint::ready(std::string_view name) {
  auto found = detail::find_running(name);
  return found && !found->context->admission->draining();
}

bool endpoint::drain(std::string_view name) {
  auto found = detail::find_running(name);
  if (found) send(found->process, detail::begin_drain{});
  return found.has_value();
}

bool endpoint::reload_certificates(std::string_view name) {
  auto found = detail::find_running(name);
  if (found) send(found->process, detail::look_at_certificates{.again = false});
  return found.has_value();
}

endpoint_statistics endpoint::statistics(std::string_view name) {
  auto found = detail::find_running(name);
  return found ? found->context->admission->statistics() : endpoint_statistics{};
}

int endpoint_port(std::string_view name) {
  auto found = detail::find_running(name);
  return found ? found->port : 0;
}

int endpoint_https_port(std::string_view name) {
  auto found = detail::find_running(name);
  return found ? found->https_port : 0;
}

}  // namespace roost
