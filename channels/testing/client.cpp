#include "channels/testing/client.hpp"
#include "channels/endpoint_context.hpp"
#include "channels/testing/settle.hpp"
#include <algorithm>

namespace roost::detail {

using std::chrono::milliseconds;
using testing::expectation_failed;

namespace {

// --- the witness ---------------------------------------------------------------------------------

class witness final : public behavior {
 public:
  explicit witness(std::shared_ptr<test_inbox> inbox) : inbox_(std::move(inbox)) {}

  std::string_view initial_call() const noexcept override { return "roost::testing::witness"; }
  init_outcome init() override {
    core_ = current_process();
    return {};
  }
  process& core() noexcept { return *core_; }

  void handle(message& message) override {
    if (auto* ended = value_of<down>(message)) {
      on_down(*ended);
    } else if (auto* news = value_of<broadcast_message>(message)) {
      inbox_->add(
          {.kind = came_as::broadcast,
           .topic = news->topic,
           .name = news->event,
           .payload = news->payload});
    }
  }

 private:
  void on_down(const down& down) {
    std::lock_guard guard{inbox_->mutex};
    if (down.process == inbox_->socket) {
      inbox_->socket_ended = true;
      if (!inbox_->closed) inbox_->closed = 0;
    }
    for (auto& join : inbox_->joins)
      if (join->channel == down.process) join->ended = down.reason;
    inbox_->changed.notify_all();
  }

  std::shared_ptr<test_inbox> inbox_;
  process* core_ = nullptr;
};

}  // namespace

// --- the transport -------------------------------------------------------------------------------

/// Stands where a web_socket would.
class recording_transport final : public transport {
 public:
  recording_transport(
      std::shared_ptr<test_inbox> inbox, socket_process& process, class witness& witness)
      : transport(protocol::v2), inbox_(std::move(inbox)), process_(&process), witness_(witness) {}

  void write(const fan_out_ptr& frame) override {
    auto message = message_in(*frame->shared());
    put(message.kind, message.text);
  }
  void close(close_code code, std::string_view) override { end(static_cast<int>(code)); }
  void abort() override {
    process_ = nullptr;
    inbox_->close(0);
  }

  /// The client goes, without a close frame.
  void hang_up() { end(0); }

  /// Answers whether there was a socket to hear it.
  bool hear(const client_message& message, std::string_view frame) {
    local_ptr<recording_transport> alive(this);
    if (process_ == nullptr || !is_alive(process_->core().self())) return false;
    run_as(process_->core(), [&] {
      message.payload.is_binary() ? process_->on_binary(frame) : process_->on_text(frame);
    });
    // The channel of a join that is answered later.
    if (process_ != nullptr && message.event == "phx_join")
      found_channel(message.ref, process_->channel(message.topic));
    return true;
  }

 private:
  void put(encoded kind, std::string_view message) override {
    take(kind == encoded::binary ? from_binary(message) : from_text(message));
  }
  void destroy() noexcept override { delete this; }

  void end(int code) {
    local_ptr<recording_transport> alive(this);
    inbox_->close(code);
    if (auto* process = std::exchange(process_, nullptr))
      run_as(process->core(), [process] { process->transport_closed(close_code::none); });
  }

  void take(received message) {
    if (process_ == nullptr) return;  // a client that has gone hears nothing
    if (message.kind == came_as::reply) on_reply(message);
    inbox_->add(std::move(message));
  }

  void on_reply(received& reply) {
    {
      std::lock_guard guard{inbox_->mutex};
      auto* join = find_join(reply.ref);
      if (join == nullptr || join->answer) return;
      join->answer = reply_with{reply.name, reply.payload};
      reply.expected = true;
    }
    // A channel answers its join itself.
    if (reply.name == "ok") found_channel(reply.ref, self());
  }

  /// The monitor is there before the channel handles anything: it is on this worker, as we are.
  void found_channel(const std::string& join_ref, pid channel) {
    {
      std::lock_guard guard{inbox_->mutex};
      auto* join = find_join(join_ref);
      if (!channel || join == nullptr || join->channel) return;
      // A join that waits for the channel before it to end.
      for (auto& other : inbox_->joins)
        if (other->channel == channel) return;
      join->channel = channel;
    }
    run_as(witness_.core(), [channel] { monitor(channel); });
  }

  test_join* find_join(const std::string& join_ref) {
    for (auto& join : inbox_->joins)
      if (join->join_ref == join_ref) return join.get();
    return nullptr;
  }

  std::shared_ptr<test_inbox> inbox_;
  socket_process* process_;
  class witness& witness_;  // lives as long as the client
};

// --- starting ------------------------------------------------------------------------------------

namespace {

/// What a test gives to connect and what connect gives to the test, while a socket starts.
struct handover {
  std::optional<socket_type::connected> given;
  std::optional<socket_type::connected> answer;
};
thread_local handover* in_hand = nullptr;

class giving {
 public:
  explicit giving(handover& hand) noexcept { in_hand = &hand; }
  giving(const giving&) = delete;
  giving& operator=(const giving&) = delete;
  ~giving() { in_hand = nullptr; }
};

}  // namespace

// --- a client ------------------------------------------------------------------------------------

test_client::test_client(std::string_view pub_sub) : pub_sub_(hub::find(pub_sub)) {}

test_client::~test_client() {
  // After its runtime nothing of it is left but memory.
  if (transport_ == nullptr || scheduler::instance() == nullptr) return;
  try {
    // A channel that waits for the answer of its join takes no message that tells it to end.
    for (auto channel : inbox_->joining()) exit(channel, exit_reason::kill);
    if (!inside_process()) close(stuck_after);
  } catch (const std::exception&) {  // a destructor is no place to complain
  }
  testing_worker().post_function([transport = transport_, witness = inbox_->witness] {
    transport->hang_up();
    exit(witness, exit_reason::shutdown);
    transport->release();
  });
}

std::optional<refused> test_client::connect(
    const socket_type& type, params parameters, const testing::client_options& options,
    std::optional<socket_type::connected> given) {
  type_ = &type;
  handover hand{std::move(given), {}};
  exit_reason failure;
  on_worker([&] {
    giving scope(hand);
    failure = start(std::move(parameters), options);
  });
  if (transport_ == nullptr && hand.answer && hand.answer->refusal) return hand.answer->refusal;
  if (transport_ == nullptr)
    throw expectation_failed(
        "expected the connect of " + std::string(type.name) + " to answer, got " +
        failure.to_string());
  connected_ = std::move(*hand.answer);
  settle_with(inbox_);
  return std::nullopt;
}

/// On the worker. Answers why there is no transport, if there is none.
exit_reason test_client::start(params parameters, const testing::client_options& options) {
  auto context = std::make_shared<endpoint_context>();
  context->spec.pub_sub = pub_sub_->name();
  context->spec.sockets = {{"", type_, options.socket}};
  context->pub_sub = pub_sub_;
  context->admission = std::make_unique<admission>("roost::testing", endpoint_limits{});
  (void)context->admission->enter_socket(options.info.peer_address);  // the process leaves it
  auto* mount = &context->spec.sockets.front();
  auto behavior = std::make_unique<socket_process>(
      socket_process::request{mount, std::move(context), std::move(parameters), options.info});
  auto& process = *behavior;
  start_request here;
  here.worker = static_cast<int>(testing_worker().index());
  auto outcome = start_process(std::move(behavior), here);
  if (outcome.status != start_status::ready) return outcome.reason;

  auto watching = std::make_unique<witness>(inbox_);
  auto& witness = *watching;
  inbox_->socket = outcome.process;
  inbox_->witness = start_process(std::move(watching), here).process;
  run_as(witness.core(), [socket = outcome.process] { monitor(socket); });
  transport_ = new recording_transport(inbox_, process, witness);
  transport_->add_ref();  // until the client goes
  run_as(process.core(), [&] { process.attach(local_ptr<transport>(transport_)); });
  return {};
}

std::string test_client::send(client_message message) {
  check_outside();
  message.ref = next_ref(message.event);
  hear(message);
  return message.ref;
}

std::shared_ptr<test_join> test_client::begin_join(std::string_view topic, const payload& params) {
  check_outside();
  if (params.is_binary())
    throw std::invalid_argument("expected the parameters of a join to be JSON, got binary data");
  auto join = std::make_shared<test_join>();
  join->topic = topic;
  join->join_ref = next_ref("phx_join");
  {
    std::lock_guard guard{inbox_->mutex};
    inbox_->joins.push_back(join);
  }
  hear({join->join_ref, join->join_ref, join->topic, "phx_join", params});
  return join;
}

void test_client::hear(const client_message& message) {
  auto frame = message.payload.is_binary() ? to_binary(message) : to_text(message);
  bool heard = false;
  on_worker([&] { heard = transport_->hear(message, frame); });
  if (heard) return;
  std::lock_guard guard{inbox_->mutex};
  throw expectation_failed(
      "expected the socket to be open for \"" + message.event + "\" to \"" + message.topic +
      "\", got one that was closed with " + std::to_string(inbox_->closed.value_or(0)));
}

std::string test_client::next_ref(const std::string& event) {
  std::lock_guard guard{inbox_->mutex};
  inbox_->sent.push_back(event);
  return std::to_string(inbox_->sent.size());
}

void test_client::subscribe(std::string_view topic) {
  check_outside();
  {
    std::lock_guard guard{inbox_->mutex};
    auto& heard = inbox_->subscribed;
    if (std::find(heard.begin(), heard.end(), topic) != heard.end()) return;
    heard.emplace_back(topic);
  }
  pub_sub_->subscribe(topic, inbox_->witness);
}

void test_client::close(milliseconds timeout) {
  check_outside();
  on_worker([this] { transport_->hang_up(); });
  if (wait_until_ended(timeout)) return;
  for (auto process : inbox_->living()) exit(process, exit_reason::kill);
  if (!wait_until_ended(stuck_after))
    throw expectation_failed(
        "expected a killed channel to end within " + std::to_string(stuck_after.count()) +
        " ms, got none: does a handler block?");
}

bool test_client::wait_until_ended(milliseconds timeout) {
  std::unique_lock lock{inbox_->mutex};
  return inbox_->changed.wait_for(lock, timeout, [&] {
    return inbox_->socket_ended && std::all_of(
                                       inbox_->joins.begin(), inbox_->joins.end(),
                                       [](auto& join) { return !join->is_alive(); });
  });
}

// --- from the templates --------------------------------------------------------------------------

socket_type::connected connect_in_test(
    connect_function real, const params& params, const connect_info& info) {
  in_hand->answer = real != nullptr ? real(params, info) : *in_hand->given;
  return *in_hand->answer;
}

testing::connect_answer connect_test_client(
    const socket_type& type, std::vector<params::entry> parameters,
    std::optional<socket_type::connected> given, const testing::client_options& options) {
  check_outside();
  auto client = std::make_shared<test_client>(options.pub_sub);
  auto refusal = client->connect(type, params(std::move(parameters)), options, std::move(given));
  if (refusal) return *refusal;
  return testing::test_socket(std::move(client));
}

}  // namespace roost::detail
