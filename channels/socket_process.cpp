#include "channels/socket_process.hpp"
#include "channels/background.hpp"
#include "channels/endpoint_context.hpp"
#include "channels/meters.hpp"
#include "runtime/logger.hpp"
#include "runtime/telemetry.hpp"
#include <algorithm>

namespace roost::detail {
namespace {

constexpr std::size_t large_message = 256 * 1024;

const payload& unmatched_topic() {
  static const payload response{{"reason", "unmatched topic"}};
  return response;
}

/// "vsn=2.0.0 token=[FILTERED]", as Phoenix logs them.
std::string shown(const params& params) {
  std::string text;
  for (auto& [name, value] : params.entries()) {
    if (!text.empty()) text += ' ';
    text += name + "=" + (logger::is_filtered(name) ? "[FILTERED]" : value.substr(0, 100));
  }
  return text;
}

std::string& scratch() {
  static thread_local std::string text;
  text.clear();
  return text;
}

}  // namespace

// --- connecting
// ------------------------------------------------------------------------------------

std::string_view socket_process::initial_call() const noexcept { return mount_->type->name; }

socket_process::socket_process(request request)
    : request_(std::make_unique<socket_process::request>(std::move(request))),
      mount_(request_->mount),
      endpoint_(std::move(request_->endpoint)),
      address_(request_->info.peer_address) {}

admission& socket_process::admission() const noexcept { return *endpoint_->admission; }

init_outcome socket_process::init() {
  core_ = current_process();
  auto started = std::chrono::steady_clock::now();
  auto request = std::move(request_);
  auto result = mount_->type->connect(request->params, request->info);
  static const telemetry::event socket_connected{"phoenix.socket_connected"};
  auto took = std::chrono::steady_clock::now() - started;
  auto& counts = meters::here();
  counts.connect.observe(took);
  (result.refusal ? counts.connects_refused : counts.connects_ok).add();
  telemetry::execute(
      socket_connected, {{"duration", took}},
      {{"user_socket", initial_call()},
       {"result", result.refusal ? "error" : "ok"},
       {"peer", address_}});
  if (result.refusal) {
    if (request->refusal != nullptr) *request->refusal = result.refusal->reason;
    if (options().log)
      logger::info(
          "socket refused",
          {{"socket", initial_call()}, {"reason", result.refusal->reason}, {"peer", address_}});
    return {init_status::ignore, {}};
  }
  if (options().log && logger::enabled(log_level::debug))
    logger::debug(
        "socket connected",
        {{"socket", initial_call()}, {"peer", address_}, {"parameters", shown(request->params)}});
  assigns_ = std::move(result.assigns);
  if (result.id) id_ = std::make_unique<const std::string>(std::move(*result.id));
  if (id_) endpoint_->pub_sub->subscribe(*id_, self());
  return {};
}

socket_process::~socket_process() {
  for (auto& entry : entries_)
    if (entry.channel) send(entry.channel, stop_channel{exit_reason::shutdown_with(end_)});
  // Those whose join has no answer yet take no messages.
  for (auto& late : late_joins_) exit(late.channel, exit_reason::kill);
  if (transport_) transport_->abort();
  admission().leave_socket(address_);
}

void socket_process::attach(local_ptr<transport> transport) { transport_ = std::move(transport); }

void socket_process::transport_closed(close_code code) {
  transport_ = {};
  if (code == close_code::service_restart) end_ = "draining";
  stop_self(exit_reason::shutdown_with(end_));
}

// --- messages of other processes
// -------------------------------------------------------------------

void socket_process::handle(message& message) {
  if (auto* ended = value_of<channel_ended>(message)) {
    on_ended(*ended);
  } else if (auto* joined = value_of<channel_joined>(message)) {
    on_joined(*joined);
  } else if (auto* late = value_of<join_timed_out>(message)) {
    auto* entry = find(late->channel);
    if (entry == nullptr || entry->state != entry::state::joining) return;
    admission().note(admission().join_timeouts, "join_timeout", initial_call());
    exit(late->channel, exit_reason::kill);
  } else if (auto* broadcast = value_of<broadcast_message>(message)) {
    // 1000 on purpose: phoenix.js stays away after it. Replies that are under way are dropped.
    if (broadcast->event == "disconnect" && transport_) transport_->close(close_code::normal, {});
  } else if (!transport_ || !transport_->on_message(message)) {
    unexpected(message, initial_call());
  }
}

// --- the client's messages
// -------------------------------------------------------------------------

namespace {

/// One per worker: it keeps its memory from message to message.
incoming& decoded() {
  static thread_local incoming message;
  return message;
}

}  // namespace

void socket_process::malformed_frame(const malformed& what) {
  logger::debug(
      "malformed message, closing the socket",
      {{"process", to_string(self())}, {"reason", what.reason}});
  transport_->close(close_code::internal_error, {});
}

/// Checking megabytes of JSON takes milliseconds, which the other clients of this worker would have
/// to wait: the background does it.
bool socket_process::decode_elsewhere(std::string_view frame) {
  struct work {
    std::vector<char> frame;
    incoming message;
    std::optional<malformed> bad;
  };
  auto held = transport_->hold(frame);
  if (!held) return false;
  auto shared = std::make_shared<work>();
  shared->frame = std::move(*held);
  auto decode = [shared, protocol = transport_->protocol()] {
    std::string_view text(shared->frame.data(), shared->frame.size());
    shared->bad = decode_text(protocol, text, shared->message);
    if (!shared->bad) shared->message.made = shared->message.to_payload();
  };
  in_background(decode, [this, shared] {
    if (!transport_) return;  // closed meanwhile
    auto transport = transport_;
    shared->bad ? malformed_frame(*shared->bad) : dispatch(shared->message);
    transport->release_hold();
  });
  return true;
}

void socket_process::on_text(std::string_view frame) {
  if (frame.size() > large_message && decode_elsewhere(frame)) return;
  auto& message = decoded();
  if (auto bad = decode_text(transport_->protocol(), frame, message)) return malformed_frame(*bad);
  dispatch(message);
}

void socket_process::on_binary(std::string_view frame) {
  auto& message = decoded();
  if (auto bad = decode_binary(transport_->protocol(), frame, message))
    return malformed_frame(*bad);
  // A join carries JSON parameters; Phoenix fails on a binary one, and so do we.
  if (message.event == "phx_join") return malformed_frame({"a join as a binary frame", 0});
  dispatch(message);
}

void socket_process::dispatch(const incoming& message) {
  meters::here().messages_in.add();
  if (message.topic_is_string && message.event_is_string) {
    if (message.topic_name == "phoenix") return on_phoenix(message);
    if (message.event == "phx_join") return on_join(message);
  }
  if (auto* entry = message.topic_is_string ? find(message.topic_name) : nullptr)
    return to_channel(*entry, message);
  if (message.event == "phx_leave" && message.event_is_string)
    return reply(message.join_ref, message.ref, message.topic(), "ok", {});
  reply("null", message.ref, message.topic(), "error", unmatched_topic());
}

void socket_process::on_phoenix(const incoming& message) {
  bool good = message.event == "heartbeat" || message.event == "phx_leave";
  auto join_ref = message.event == "phx_leave" ? message.join_ref : std::string_view("null");
  reply(
      join_ref, message.ref, message.topic(), good ? "ok" : "error",
      good ? payload{} : unmatched_topic());
}

void socket_process::to_channel(entry& entry, const incoming& message) {
  client_event event{
      std::string(message.event),
      std::string(message.ref),
      std::string(message.join_ref),
      message.to_payload(),
      message.event_is_string,
      inbound_charge(transport_.get(), message.payload_data.size() + sizeof(client_event))};
  // Protocol 1 has no join references: a message is always for the present channel.
  if (transport_->protocol() == protocol::v1 && event.join_ref == "null")
    event.join_ref = entry.join_ref;
  if (entry.state == entry::state::leaving || entry.state == entry::state::replacing) {
    entry.changing().late.push_back(std::move(event));
    return;
  }
  if (event.event == "phx_leave" && event.join_ref == entry.join_ref &&
      entry.state == entry::state::joined)
    entry.state = entry::state::leaving;
  send(entry.channel, std::move(event));
}

// --- joining
// ---------------------------------------------------------------------------------------

void socket_process::on_join(const incoming& message) {
  waiting_join join{std::string(message.join_ref), std::string(message.ref), message.to_payload()};
  if (auto* present = find(message.topic_name)) {
    // The old channel ends first; the new one starts when it has.
    auto& change = present->changing();
    bool first = !change.next;
    change.next = std::move(join);
    present->state = entry::state::replacing;
    if (first) {
      change.close_old = present->join_ref;
      send(present->channel, stop_channel{exit_reason::shutdown_with("duplicate_join")});
    }
    return;
  }
  auto* type = mount_->type->find(message.topic_name);
  if (type == nullptr)
    return reply("null", message.ref, message.topic(), "error", unmatched_topic());
  if (entries_.size() >= options().max_channels) {
    static const payload too_many{{"reason", "too many channels joined"}};
    admission().note(admission().too_many_channels, "max_channels", initial_call());
    return reply(message.join_ref, message.ref, message.topic(), "error", too_many);
  }
  if (late_joins_.size() >= options().max_joins) {
    static const payload too_many{{"reason", "too many joins"}};
    admission().note(admission().too_many_joins, "max_joins", initial_call());
    return reply(message.join_ref, message.ref, message.topic(), "error", too_many);
  }
  entry fresh;
  fresh.topic = std::string(message.topic_name);
  entries_.push_back(std::move(fresh));
  start_channel(entries_.back(), std::move(join), *type);
}

void socket_process::start_channel(entry& entry, waiting_join join, const channel_type& type) {
  auto channel = type.make();
  auto& state = channel->state();
  state.topic = entry.topic;
  // A join without join_ref lends the channel its ref; only the join's own reply repeats the null.
  state.joins_without_ref = join.join_ref == "null";
  state.join_ref = state.joins_without_ref ? join.ref : join.join_ref;
  state.ref = join.ref;
  state.params = join.params;
  state.out = local_ptr<outlet>(transport_.get());
  state.pub_sub = endpoint_->pub_sub;
  state.assigns = assigns_;
  state.type = mount_->type;
  state.socket = self();
  entry.join_ref = state.join_ref;
  entry.state = entry::state::joining;
  start_request request;
  request.worker = static_cast<int>(worker::current()->index());
  auto outcome = start_process(std::move(channel), std::move(request));
  if (outcome.status == start_status::failed) {
    if (!outcome.reason.is_orderly()) {
      meters::here().joins_crashed.add();
      static const payload crashed{{"reason", "join crashed"}};
      reply(join.join_ref, join.ref, entry.topic, "error", crashed);
    }
    close_replaced(entry);
    answer_late(entry);
    return erase(entry);
  }
  entry.channel = outcome.process;
  // What came for the new channel while the old one was ending.
  if (entry.change)
    for (auto& event : std::exchange(entry.change->late, {})) send(entry.channel, std::move(event));
  if (outcome.status == start_status::ready) {
    entry.state = entry::state::joined;
    return close_replaced(entry);
  }
  late_joins_.push_back({entry.channel, join.join_ref, join.ref});
  if (options().join_timeout.count() >= 0)
    send_after(options().join_timeout, self(), join_timed_out{entry.channel});
}

void socket_process::on_joined(const channel_joined& joined) {
  std::erase_if(late_joins_, [&](auto& late) { return late.channel == joined.channel; });
  auto* entry = find(joined.channel);
  if (entry == nullptr) return;
  if (entry->state == entry::state::joining) entry->state = entry::state::joined;
  close_replaced(*entry);
}

void socket_process::close_replaced(entry& entry) {
  if (!entry.change || !entry.change->close_old) return;
  write_end(*entry.change->close_old, entry.topic, "phx_close");
  entry.change->close_old.reset();
}

// --- the end of a channel
// --------------------------------------------------------------------------

void socket_process::on_ended(const channel_ended& ended) {
  auto* entry = find(ended.channel);
  if (entry == nullptr) return;
  auto late = std::find_if(late_joins_.begin(), late_joins_.end(), [&](auto& join) {
    return join.channel == ended.channel;
  });
  bool was_joining = late != late_joins_.end();
  if (was_joining) {
    if (ended.crashed) {
      meters::here().joins_crashed.add();
      static const payload crashed{{"reason", "join crashed"}};
      reply(late->join_ref, late->ref, entry->topic, "error", crashed);
    }
    late_joins_.erase(late);
  }
  if (entry->change && entry->change->next) {
    auto join = std::move(*entry->change->next);
    entry->change->next.reset();
    entry->channel = {};
    return start_channel(*entry, std::move(join), *mount_->type->find(entry->topic));
  }
  if (!was_joining)
    write_end(entry->join_ref, entry->topic, ended.crashed ? "phx_error" : "phx_close");
  close_replaced(*entry);
  answer_late(*entry);
  erase(*entry);
}

/// What came after phx_leave finds no channel any more.
void socket_process::answer_late(const entry& entry) {
  if (!entry.change) return;
  for (auto& event : entry.change->late) {
    bool leave = event.event == "phx_leave";
    reply(
        leave ? std::string_view(event.join_ref) : "null", event.ref, entry.topic,
        leave ? "ok" : "error", leave ? payload{} : unmatched_topic());
  }
}

// --- the table
// -------------------------------------------------------------------------------------

// A socket has a handful of channels, a hundred at most by default: looking at all of them is
// quick.
socket_process::entry* socket_process::find(std::string_view topic) {
  auto found = std::find_if(
      entries_.begin(), entries_.end(), [&](auto& entry) { return entry.topic == topic; });
  return found == entries_.end() ? nullptr : &*found;
}

socket_process::entry* socket_process::find(pid channel) {
  auto found = std::find_if(
      entries_.begin(), entries_.end(), [&](auto& entry) { return entry.channel == channel; });
  return found == entries_.end() || !channel ? nullptr : &*found;
}

void socket_process::erase(const entry& entry) {
  entries_.erase(entries_.begin() + (&entry - entries_.data()));
}

std::vector<debug::channel_details> socket_process::channels() const {
  std::vector<debug::channel_details> all;
  for (auto& entry : entries_) {
    auto* type = mount_->type->find(entry.topic);
    all.push_back(
        {entry.channel, entry.topic, std::string(type != nullptr ? type->name : ""),
         entry.state == entry::state::joined});
  }
  return all;
}

// --- writing
// ---------------------------------------------------------------------------------------

void socket_process::reply(
    std::string_view join_ref, std::string_view ref, wire_topic topic, std::string_view status,
    const payload& response) {
  if (!transport_) return;
  auto& text = scratch();
  auto kind = encode_reply(transport_->protocol(), text, join_ref, ref, topic, status, response);
  if (kind != encoded::impossible) transport_->write(kind, text);
}

void socket_process::write_end(
    std::string_view join_ref, std::string_view topic, std::string_view event) {
  if (!transport_) return;
  auto& text = scratch();
  auto kind = encode_end(transport_->protocol(), text, join_ref, topic, event);
  if (kind != encoded::impossible) transport_->write(kind, text);
}

}  // namespace roost::detail
