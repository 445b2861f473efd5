// How a client gets its connection, keeps it, and loses it.
#include "channels/base64.hpp"
#include "channels/client/backoff.hpp"
#include "channels/client/client_process.hpp"
#include "channels/client/host_lookup.hpp"
#include "runtime/blocking.hpp"
#include "runtime/logger.hpp"
#include <openssl/rand.h>
#include <array>

namespace roost::detail {
namespace {

using std::chrono::milliseconds;

// A connection that has held for so long was a good one: the next is tried at once again.
constexpr std::uint64_t good_connection_ms = 5000;

}  // namespace

// --- connecting ----------------------------------------------------------------------------------

double client_process::random() { return std::uniform_real_distribution<double>(0, 1)(random_); }

milliseconds client_process::delay_of(
    const client_options::delay_function& function, milliseconds fallback, unsigned tries) {
  const auto delay = jittered(function ? function(tries) : fallback, options_->jitter, random());
  return std::max(delay, milliseconds(1));
}

void client_process::make_request() {
  client_request request{options_->params, options_->headers, options_->auth_token};
  if (options_->before_connect) {
    options_->before_connect(request);
    check_headers(request.headers);
  }
  std::array<char, 16> bytes;
  if (RAND_bytes(reinterpret_cast<unsigned char*>(bytes.data()), bytes.size()) != 1)
    throw std::runtime_error("expected OpenSSL to give random bytes, got none");
  key_ = to_base64({bytes.data(), bytes.size()});
  request_ = encode_client_upgrade(target_, request, key_);
}

void client_process::connect_now() {
  ++generation_;
  phase_ = phase::connecting;
  attempt_deadline_ = exact_now() + in_ms(options_->connect_timeout);
  make_request();
  look_up();
}

void client_process::look_up() {
  address_ = 0;
  addresses_.clear();
  if (is_address(target_.host)) {
    addresses_.push_back(target_.host);
    return try_address();
  }
  auto is_late = [this, generation = generation_] { return generation != generation_; };
  blocking([host = target_.host, timeout = options_->connect_timeout] {
    return look_up_host(host, timeout);
  })
      .then(
          [this, is_late](std::vector<std::string> addresses) {
            if (is_late()) return;
            addresses_ = std::move(addresses);
            try_address();
          },
          [this, is_late](const exit_reason& reason) {
            if (is_late()) return;
            connect_failed(
                {.reason =
                     reason.what().empty() ? reason.to_string() : std::string(reason.what())});
          });
}

/// Connects to the next address, which may take its share of what is left of the time.
void client_process::try_address() {
  const auto now = exact_now();
  if (address_ >= addresses_.size() || now >= attempt_deadline_) return on_attempt_expired();
  connection_ = std::make_unique<client_connection>(
      *core_, *this,
      client_connection::settings{
          .tls = tls_,
          .verify = options_->verify,
          .host = target_.host,
          .request = request_,
          .key = key_,
          .max_frame_size = options_->max_frame_size,
          .max_outbound = options_->max_outbound});
  auto why = connection_->connect(addresses_[address_], target_.port);
  if (!why.empty()) {
    client_connection::drop(std::move(connection_));
    return connect_failed({.reason = std::move(why), .no_address = true});
  }
  const auto share = (attempt_deadline_ - now) / (addresses_.size() - address_);
  attempt_timer_.cancel();
  attempt_timer_ = send_after(milliseconds(share), self(), attempt_expired{generation_});
}

void client_process::on_connected() {
  attempt_timer_.cancel();
  const auto now = exact_now();
  const auto left = attempt_deadline_ > now ? attempt_deadline_ - now : 1;
  address_ = addresses_.size();  // somebody is there, so the others are not asked
  attempt_timer_ = send_after(milliseconds(left), self(), attempt_expired{generation_});
}

void client_process::on_attempt_expired() {
  if (phase_ != phase::connecting) return;
  client_connection::drop(std::move(connection_));
  connect_failed(
      {.reason =
           "no connection within " + std::to_string(options_->connect_timeout.count()) + " ms",
       .no_address = true});
}

void client_process::connect_failed(const connection_end& end) {
  if (end.no_address && address_ + 1 < addresses_.size()) {
    ++address_;
    return try_address();
  }
  after_loss(end);
}

void client_process::on_open() {
  attempt_timer_.cancel();
  request_ = {};
  key_ = {};
  addresses_ = {};
  phase_ = phase::open;
  opened_ = exact_now();
  heartbeat_ref_ = no_ref;
  told_not_sent_ = false;
  ++counters_.connections;
  counters_.last_error.clear();
  // Clients that were started together do not beat together.
  const auto interval = static_cast<double>(options_->heartbeat.count());
  const auto first = milliseconds(
      static_cast<milliseconds::rep>(interval * (1 - options_->jitter * random())) + 1);
  beat_after(std::min(first, options_->heartbeat));
  for (auto& [topic, each] : channels_) {
    if (phase_ != phase::open) return;  // lost in the attempt
    if (each.now == channel::state::waiting) send_join(each);
  }
}

void client_process::on_heartbeat_due() {
  if (phase_ != phase::open) return;
  // This program itself may have stood still, and the answer be there unread.
  if (heartbeat_ref_ != no_ref) connection_->read_now();
  if (phase_ != phase::open) return;
  if (heartbeat_ref_ != no_ref)
    return connection_->close(
        close_code::going_away, {.reason = "no answer to the heartbeat within " +
                                           std::to_string(options_->heartbeat.count()) + " ms"});
  heartbeat_ref_ = next_ref_++;
  // Not sent when too much waits already: then it is not answered either.
  send(no_ref, heartbeat_ref_, "phoenix", "heartbeat", {});
  beat_after(options_->heartbeat);
}

void client_process::beat_after(milliseconds delay) {
  heartbeat_timer_ = send_after(delay, self(), heartbeat_due{generation_});
}

void client_process::disconnect() {
  if (connection_)
    return connection_->close(
        close_code::normal, {.reason = "told to disconnect", .code = close_code::normal});
  ++generation_;
  phase_ = phase::idle;
  tries_ = 0;
}

// --- losing the connection -----------------------------------------------------------------------

void client_process::on_lost(connection_end end) {
  client_connection::drop(std::move(connection_));
  phase_ == phase::connecting ? connect_failed(end) : after_loss(end);
}

void client_process::after_loss(const connection_end& end) {
  const bool was_open = phase_ == phase::open;
  log_loss(end);
  counters_.last_error = end.reason;
  attempt_timer_.cancel();
  heartbeat_timer_.cancel();
  addresses_ = {};
  ++generation_;
  phase_ = phase::waiting;
  heartbeat_ref_ = no_ref;
  if (was_open) {
    lose_pushes(nullptr, "the connection was lost");
    close_all(channel::state::leaving, "left");
    for (auto& [topic, each] : channels_) {
      if (each.now != channel::state::joining && each.now != channel::state::joined) continue;
      each.now = channel::state::waiting;
      each.outcome.reset();
      tell(each, client_status::kind::errored, because(end.reason));
    }
  }
  if (was_open && exact_now() - opened_ >= good_connection_ms) tries_ = 0;
  if (end.code != close_code::normal) return connect_later(end.retry_after);
  phase_ = phase::idle;
  tries_ = 0;
}

void client_process::connect_later(std::optional<milliseconds> retry_after) {
  ++tries_;
  auto delay = delay_of(options_->reconnect_after, reconnect_delay(tries_), tries_);
  if (retry_after) delay = std::max(delay, retry_delay(*retry_after, options_->jitter, random()));
  send_after(delay, self(), connect_due{generation_});
}

void client_process::log_loss(const connection_end& end) {
  if (!options_->log) return;
  const auto url = (target_.tls ? "wss://" : "ws://") + target_.authority + target_.path;
  const auto process = to_string(self());
  const auto* what = phase_ == phase::open ? "client lost its connection" : "client cannot connect";
  if (end.bad_input)
    logger::warning(
        "client got bad input, closing the connection",
        {{"process", process}, {"url", url}, {"reason", end.reason}});
  else
    logger::info(what, {{"process", process}, {"url", url}, {"reason", end.reason}});
}

/// Pushes of a channel (null: of all) that were sent and will not be answered any more, and joins.

}  // namespace roost::detail
