#include "channels/transport/long_poll.hpp"
#include "channels/endpoint_context.hpp"
#include "channels/meters.hpp"
#include "runtime/logger.hpp"
#include <openssl/rand.h>

namespace roost::detail {

// --- tokens --------------------------------------------------------------------------------------

namespace {

constexpr std::string_view salt = "roost.long_poll";

std::uint64_t random_number() {
  std::uint64_t number = 0;
  if (RAND_bytes(reinterpret_cast<unsigned char*>(&number), sizeof number) != 1)
    throw std::runtime_error("expected OpenSSL to have random numbers, got none");
  return number;
}

}  // namespace

std::string make_poll_token(const endpoint_context& endpoint, const poll_session_id& session) {
  auto node = session.process.is_local() ? this_node() : node_of_number(session.process.node);
  // Numbers of 64 bits are texts: others than we may read JSON's numbers as doubles.
  auto data = json{
      {"endpoint", endpoint.spec.name},
      {"node", node.name},
      {"incarnation", std::to_string(node.incarnation)},
      {"process", std::to_string(session.process.id)},
      {"secret", std::to_string(session.secret)}};
  return endpoint.tokens->sign(salt, data);
}

std::optional<poll_session_id> read_poll_token(
    const endpoint_context& endpoint, const longpoll_options& options, std::string_view token) {
  if (token.empty() || !endpoint.tokens) return std::nullopt;
  auto read = endpoint.tokens->verify(salt, token, {.max_age = options.max_age});
  if (!read || read.data["endpoint"] != endpoint.spec.name) return std::nullopt;
  auto number = [&](std::string_view key) {
    return std::strtoull(read.data.get<std::string>(key).c_str(), nullptr, 10);
  };
  auto name = read.data.get<std::string>("node");
  auto incarnation = number("incarnation");
  pid process{number("process"), 0};
  if (name != this_node().name || incarnation != this_node().incarnation) {
    // Without a name there are no other nodes; with one, an earlier life of this node is nobody.
    if (name == this_node().name || !is_node_name(name)) return poll_session_id{};
    process.node = node_number(name, incarnation);
  }
  return poll_session_id{process, number("secret")};
}

http_response poll_response(std::string body) {
  return {
      .body = std::move(body),
      .content_type = "application/json; charset=utf-8",
      .headers = poll_headers()};
}

http_response session_is_lost() { return poll_response(publish_answer(500)); }

// --- the session ---------------------------------------------------------------------------------

long_poll_session::long_poll_session(
    enum protocol protocol, client_list& list, socket_process& process,
    const longpoll_options& options)
    : transport(protocol),
      list_(list),
      process_(&process),
      id_{process.core().self(), random_number()},
      options_(options) {
  list_.add(*this);
}

long_poll_session::~long_poll_session() { end(); }

void long_poll_session::start() { wait_for_poll(); }

/// Leaves the list; nothing more is written.
void long_poll_session::end() {
  if (process_ == nullptr) return;
  process_ = nullptr;
  list_.remove(*this);
  waiting_.clear();
  on_the_way_.clear();
}

void long_poll_session::queue(std::string message) {
  if (process_ == nullptr || closing_) return;
  waiting_bytes_ += message.size();
  waiting_.push_back(std::move(message));
  if (waiting_bytes_ > process_->options().max_outbound) {
    process_->admission().note(
        process_->admission().slow_consumers, "max_outbound", process_->initial_call());
    return close(close_code::try_again_later, "slow consumer");
  }
  // What else is written in this turn goes along.
  if (asker_ && !std::exchange(flushing_, true)) send(id_.process, flush_now{});
}

void long_poll_session::put(encoded kind, std::string_view message) {
  meters::here().messages_out.add();
  queue(kind == encoded::binary ? text_of_binary(message) : std::string(message));
}

void long_poll_session::write(const fan_out_ptr& frame) {
  auto [kind, text] = message_in(*frame->shared());
  put(kind, text);
}

/// There are no close frames here: the client learns of the end by its next poll.
void long_poll_session::close(close_code code, std::string_view) {
  if (process_ == nullptr) return;
  deliver_waiting_broadcasts();
  // A drain comes from outside; what follows is for the process's own turn.
  if (current_process() != &process_->core()) {
    if (!std::exchange(closing_, true)) send(id_.process, close_now{code});
    return;
  }
  local_ptr<long_poll_session> alive(this);
  // Said before the session was closed; after a disconnect what is under way is dropped.
  bool orderly = code != close_code::normal && !waiting_.empty() && !delivery_;
  if (asker_) answer(orderly ? 200 : 410);
  auto* process = process_;
  end();
  process->transport_closed(code);
}

/// The process has ended. A waiting poll sees that by its monitor.
void long_poll_session::abort() { end(); }

void long_poll_session::cut() {
  if (process_ == nullptr) return;
  end();
  exit(id_.process, exit_reason::shutdown);
}

bool long_poll_session::on_message(message& message) {
  if (auto* ask = value_of<poll_ask>(message)) {
    on_ask(*ask);
  } else if (auto* publish = value_of<poll_publish>(message)) {
    on_publish(*publish);
  } else if (value_of<flush_now>(message) != nullptr) {
    flushing_ = false;
    if (asker_ && !waiting_.empty() && !delivery_) answer(200);
  } else if (auto* ending = value_of<close_now>(message)) {
    close(ending->code, {});
  } else if (auto* over = value_of<window_over>(message)) {
    if (over->poll != polls_) return true;
    if (asker_) {
      answer(204);
    } else {
      // Nobody has asked for one and a half windows.
      auto* process = process_;
      end();
      if (process != nullptr) process->transport_closed(close_code::none);
    }
  } else if (auto* gone = value_of<down>(message)) {
    if (gone->ref == delivery_) {
      on_delivered(gone->reason == exit_reason::normal);
    } else if (gone->ref == asker_monitor_) {
      asker_ = {};
      wait_for_poll();
    } else {
      return false;
    }
  } else {
    return false;
  }
  return true;
}

void long_poll_session::on_ask(const poll_ask& ask) {
  if (ask.secret != id_.secret) return send(ask.from, poll_result{410, {}});
  if (asker_) answer(204);  // the newer one gets the messages
  ++polls_;
  asker_ = ask.from;
  asker_monitor_ = monitor(asker_);
  // What is on the way to the poll before goes first, should it come back.
  if (!waiting_.empty() && !delivery_) return answer(200);
  send_after(options_.window, self(), window_over{polls_});
}

void long_poll_session::answer(int status) {
  poll_result result{status, {}};
  if (status == 200) {
    delivery_ = asker_monitor_;
    on_the_way_ = std::exchange(waiting_, {});
    result.messages = on_the_way_;
  } else {
    demonitor(asker_monitor_, {.flush = true});
  }
  send(std::exchange(asker_, {}), std::move(result));
  wait_for_poll();
}

/// The poll that had the messages has ended. If its client hung up before, they wait for the next.
void long_poll_session::on_delivered(bool taken) {
  delivery_ = {};
  auto messages = std::exchange(on_the_way_, {});
  if (taken) {
    for (auto& message : messages) waiting_bytes_ -= message.size();
  } else {
    waiting_.insert(
        waiting_.begin(), std::make_move_iterator(messages.begin()),
        std::make_move_iterator(messages.end()));
  }
  if (asker_ && !waiting_.empty()) answer(200);
}

void long_poll_session::wait_for_poll() {
  ++polls_;
  send_after(options_.window * 3 / 2, id_.process, window_over{polls_});
}

void long_poll_session::on_publish(poll_publish& publish) {
  if (publish.secret != id_.secret) return send(publish.from, poll_result{410, {}});
  local_ptr<long_poll_session> alive(this);
  for (auto& message : publish.messages) {
    if (process_ == nullptr) break;  // the message before was malformed
    message.binary ? process_->on_binary(message.data) : process_->on_text(message.data);
  }
  send(publish.from, poll_result{process_ != nullptr ? 200 : 410, {}});
}

// --- a request -----------------------------------------------------------------------------------

namespace {

class poll_process final : public behavior {
 public:
  poll_process(
      local_ptr<http_exchange> exchange, std::shared_ptr<const endpoint_context> endpoint,
      const longpoll_options& options, poll_request request)
      : exchange_(std::move(exchange)),
        endpoint_(std::move(endpoint)),
        options_(options),
        request_(std::move(request)) {}

  std::string_view initial_call() const noexcept override { return "roost::endpoint.poll"; }

  init_outcome init() override {
    exchange_->set_waiter(self());
    auto& session = *request_.session;
    session_monitor_ = monitor(session.process);
    auto limit = options_.pubsub_timeout;
    if (request_.what == poll_request::kind::poll) {
      limit += options_.window;
      send(session.process, poll_ask{self(), session.secret});
    } else {
      send(session.process, poll_publish{self(), session.secret, std::move(request_.messages)});
    }
    send_after(limit, self(), timeout{});
    return {};
  }

  void handle(message& message) override {
    bool polls = request_.what == poll_request::kind::poll;
    if (auto* result = value_of<poll_result>(message)) {
      if (result->status == 410)
        lost();
      else if (polls)
        respond(poll_response(poll_answer(
            result->status, make_poll_token(*endpoint_, *request_.session), result->messages)));
      else
        respond(poll_response(publish_answer(result->status)));
    } else if (auto* gone = value_of<down>(message); gone != nullptr) {
      if (gone->ref == session_monitor_) lost();
    } else if (value_of<timeout>(message) != nullptr) {
      // The session's node does not answer: nobody knows what has become of a batch.
      respond(poll_response(
          polls ? poll_answer(204, make_poll_token(*endpoint_, *request_.session))
                : publish_answer(408)));
    }
  }

 private:
  /// Ends with `normal` only when the answer has been handed to a connection that is there.
  void respond(http_response response) {
    exchange_->set_waiter({});
    bool there = exchange_->is_open();
    exchange_->respond(std::move(response));
    stop_self(there ? exit_reason::normal : exit_reason::shutdown);
  }
  void lost() {
    bool polls = request_.what == poll_request::kind::poll;
    respond(polls ? session_is_lost() : poll_response(publish_answer(410)));
  }

  local_ptr<http_exchange> exchange_;
  std::shared_ptr<const endpoint_context> endpoint_;
  longpoll_options options_;
  poll_request request_;
  reference session_monitor_;
};

}  // namespace

void run_poll(
    local_ptr<http_exchange> exchange, std::shared_ptr<const endpoint_context> endpoint,
    const longpoll_options& options, poll_request request) {
  start_request start;
  start.worker = static_cast<int>(worker::current()->index());
  start_process(
      std::make_unique<poll_process>(
          std::move(exchange), std::move(endpoint), options, std::move(request)),
      std::move(start));
}

}  // namespace roost::detail
