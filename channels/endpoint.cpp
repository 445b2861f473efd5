// The endpoint's process owns the listening sockets. On every worker a process of its own keeps the
// clients of that worker (transport/clients.hpp).
#include "channels/endpoint.hpp"
#include "channels/endpoint_config.hpp"
#include "channels/endpoint_context.hpp"
#include "channels/transport/clients.hpp"
#include "channels/transport/listening.hpp"
#include "runtime/distribution/node.hpp"
#include "runtime/logger.hpp"
#include "runtime/telemetry.hpp"
#include "supervision/release/control_socket.hpp"
#include <openssl/rand.h>
#include <algorithm>
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

// --- the endpoint --------------------------------------------------------------------------------

struct begin_drain {};
struct delay_is_over {};
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
    } else if (value_of<delay_is_over>(message) != nullptr) {
      send_away();
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
        auto outcome = start_process(make_clients(context, endpoint, i), std::move(request));
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
    if (sending_away_) return stop_listening();
    drain();
  }

  /// Whoever has connected is served; then there is nobody to come.
  void stop_listening() {
    for (auto& listener : listeners_) listener->accept_the_last();
    listeners_.clear();
    send_after(spec_.drainer.shutdown, self(), timeout{});
    if (all_told_) drain_rest();
  }

  // --- draining ----------------------------------------------------------------------------------

  void drain() {
    if (std::exchange(draining_, true)) return;
    context_->admission->leave();
    auto delay = spec_.drainer.delay;
    if (delay <= delay.zero()) return send_away();
    logger::info(
        "not ready any more, draining soon",
        {{"endpoint", spec_.name}, {"delay_ms", delay.count()}});
    send_after(delay, self(), delay_is_over{});
  }

  void send_away() {
    sending_away_ = true;
    context_->admission->drain();
    total_ = context_->admission->statistics().sockets;
    rounds_ = (total_ + spec_.drainer.batch_size - 1) / spec_.drainer.batch_size;
    logger::info("draining", {{"endpoint", spec_.name}, {"sockets", total_}, {"rounds", rounds_}});
    drain_batch();
    if (stopping_) stop_listening();
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
  bool draining_ = false;      // not ready any more
  bool sending_away_ = false;  // the delay is over
  bool all_told_ = false;
  bool stopping_ = false;
  exit_reason stop_reason_;
};

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
    auto& admission = *endpoint.context->admission;
    auto& drainer = endpoint.context->spec.drainer;
    if (!admission.leaving()) send(endpoint.process, begin_drain{});
    // Until new ones are refused, nobody is not yet everybody gone.
    auto sockets = admission.statistics().sockets;
    left += admission.draining() ? sockets : std::max<std::uint64_t>(sockets, 1);
    limit = std::max(limit, drainer.delay + drainer.shutdown);
  }
  return {.text = std::to_string(left) + " " + std::to_string(limit.count())};
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
      .shutdown = options.drainer.delay + options.drainer.shutdown + std::chrono::seconds(5),
      .type = child_type::supervisor};
}

bool endpoint::ready(std::string_view name) {
  auto found = detail::find_running(name);
  return found && !found->context->admission->leaving();
}

std::vector<std::string> endpoint::names() {
  std::lock_guard guard{detail::running_mutex};
  std::vector<std::string> all;
  for (auto& endpoint : detail::running_endpoints()) all.push_back(endpoint.name);
  return all;
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
