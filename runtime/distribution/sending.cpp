// What leaves this node and what comes in: encoding, waiting, limits.
#include "runtime/distribution/distribution.hpp"
#include "runtime/distribution/guests.hpp"
#include "runtime/logger.hpp"
#include "runtime/mailbox_thread.hpp"
#include "runtime/node_table.hpp"
#include "runtime/system_watch.hpp"
#include "runtime/telemetry.hpp"

namespace roost::detail {
namespace {

constexpr std::size_t most_waiting = 100'000;  // messages for a node that is being connected
constexpr std::size_t flush_at = 128 * 1024;  // bytes: rather write now than at the end of the turn
constexpr std::size_t keep_scratch = 1024 * 1024;  // bytes of the encoding buffer of a thread
constexpr std::size_t most_type_names = 4096;      // of another node that are remembered

bool from_a_user(const message& message) noexcept {
  return message.kind == message_kind::info || message.kind == message_kind::cast ||
         message.kind == message_kind::call || message.kind == message_kind::reply;
}

/// Whether limits apply: not to signals, not to the runtime's own processes and threads.
bool is_limited(const message& message) noexcept {
  if (!from_a_user(message)) return false;
  if (auto* me = current_process()) return !me->of_the_runtime;
  return worker::current() == nullptr;
}

/// Plain messages do not say who has sent them, but keep their order with everything else of
/// theirs.
pid sender_of(const message& message) noexcept {
  auto* me = message.from ? nullptr : current_process();
  return me != nullptr ? me->self() : message.from;
}

[[noreturn]] void cannot_travel(const message& message) {
  throw std::invalid_argument(
      "expected a message that can be encoded to be sent to another node, got " +
      std::string(message.type->name) +
      ": its fields have to be values (numbers, texts, containers, pids, structs of such)");
}

exit_reason cannot_be_read(const std::string& trouble) {
  return exit_reason::error("roost::decode_error", trouble, "another node");
}

const telemetry::event& busy_event() {
  static const telemetry::event event{"roost.node.busy"};
  return event;
}

}  // namespace

send_status distribution::deliver(pid to, message_ptr message, send_options options) {
  if (!can_travel(*message)) {
    if (from_a_user(*message)) cannot_travel(*message);
    // Questions to a process carry functions: they stay on the node.
    answer_for_the_dead(to, std::move(message), exit_reason("badarg"));
    return send_status::ok;
  }
  auto& peer = peer_at(peer_of(to.node));
  for (;;) {
    auto number = peer.open_to.load(std::memory_order_acquire);
    if (number == 0) {
      auto status = deliver_later(peer, to, message, options);
      if (message == nullptr) return status;
      continue;  // it has come up in the meantime
    }
    // A process of an incarnation that has gone.
    if (!to.is_name() && to.node != number) {
      answer_for_the_dead(to, std::move(message), exit_reason::noproc);
      return send_status::ok;
    }
    auto status = deliver_now(peer, number, to, message, options);
    if (message == nullptr || status != send_status::ok) return status;
  }
}

send_status distribution::deliver_now(
    peer& peer, std::uint32_t number, pid to, message_ptr& message, send_options options) {
  static thread_local wire_buffer body;
  body.clear();
  wire_writer writer{body, number};
  put_signal(writer, to, *message);
  auto size = body.size();
  bool limited = is_limited(*message);
  std::shared_ptr<node_link> link;
  {
    std::unique_lock guard{peer.mutex};
    if (peer.open_to.load(std::memory_order_relaxed) != number) return send_status::ok;
    if (size > peer.largest_message)
      throw std::length_error(
          "expected a message of at most " + std::to_string(peer.largest_message) + " bytes for " +
          peer.name + " (distribution.max_message), got " + std::to_string(size));
    if (limited && peer.queued >= options_.buffer) {
      if (options.nosuspend) {
        message = nullptr;
        return send_status::nosuspend;
      }
      if (!inside_process())
        hold_back_sender(peer, guard);
      else if (peer.queued >= options_.hard_limit) {
        guard.unlock();
        tell_busy_link(self(), peer.name);
        throw busy(
            "expected " + peer.name + " to take what is sent to it, got " +
            std::to_string(options_.hard_limit) + " bytes waiting (busy)");
      }
      if (peer.open_to.load(std::memory_order_relaxed) != number) return send_status::ok;
    }
    if (message->type->encode != nullptr && from_a_user(*message)) tell_type(peer, *message);
    auto before = peer.lanes.size();
    peer.lanes.signal(sender_of(*message), to, body);
    peer.queued += peer.lanes.size() - before;
    if (peer.queued > options_.buffer && limited && inside_process()) hold_back_sender(peer, guard);
    if (peer.lanes.size() >= flush_at) link = peer.link;
    peer.link->flush_soon();
  }
  if (link) link->flush();
  if (size > keep_scratch) body = wire_buffer();
  message = nullptr;
  return send_status::ok;
}

/// A process handles no further message until the link has drained; a thread waits here.
void distribution::hold_back_sender(peer& peer, std::unique_lock<std::mutex>& guard) {
  if (auto* me = current_process()) {
    if (me->async_dist) return;
    auto& waits_for = me->more().waits_for;
    if (std::find(waits_for.begin(), waits_for.end(), peer.id) != waits_for.end()) return;
    waits_for.push_back(peer.id);
    me->waits_for_link = true;
    peer.blocked.push_back(me->self());
    auto queued = peer.queued;
    guard.unlock();
    tell_busy_link(me->self(), peer.name);
    telemetry::execute(busy_event(), {{"queued", queued}}, {{"node", peer.name}});
    guard.lock();
    return;
  }
  auto serial = peer.serial.load(std::memory_order_relaxed);
  ++peer.threads_waiting;
  peer.drained.wait(guard, [&] {
    return peer.queued < options_.buffer || peer.serial.load(std::memory_order_relaxed) != serial;
  });
  --peer.threads_waiting;
}

/// The first message of a type is preceded by its name, for the log of a node that does not know
/// it.
void distribution::tell_type(peer& peer, const message& message) {
  auto hash = message.type->wire_hash;
  if (!peer.told_types.insert(hash).second) return;
  wire_buffer body;
  wire_writer writer{body};
  writer.fixed64(hash);
  writer.text(message.type->wire_name.substr(0, 255));
  auto before = peer.lanes.size();
  peer.lanes.control(frame_type::type_name, body.view());
  peer.queued += peer.lanes.size() - before;
}

/// No link: the message waits for one, or is answered as the dead would. Leaves `message` alone
/// when the link has come up meanwhile.
send_status distribution::deliver_later(
    peer& peer, pid to, message_ptr& message, send_options options) {
  std::uint64_t to_dial = 0;
  {
    std::lock_guard guard{peer.mutex};
    if (peer.open_to.load(std::memory_order_relaxed) != 0) return send_status::ok;
    bool may_dial = peer.phase == peer::phase::idle && is_alive() && options_.auto_connect &&
                    !options.noconnect && is_allowed(peer.name) &&
                    std::chrono::steady_clock::now() >= peer.retry_at;
    if (may_dial && begin(peer)) to_dial = peer.serial.load(std::memory_order_relaxed);
    // While connecting, and in `up` before the waiting messages have gone ahead.
    bool waits = peer.phase == peer::phase::up ||
                 (peer.phase == peer::phase::connecting && !options.noconnect);
    if (waits && peer.waiting.size() < most_waiting)
      peer.waiting.push_back({to, std::move(message)});
  }
  if (to_dial != 0) dial(peer, to_dial);
  if (!message) return send_status::ok;
  if (options.noconnect) {
    message = nullptr;
    return send_status::noconnect;
  }
  answer_for_the_dead(to, std::move(message), exit_reason::noconnection);
  message = nullptr;
  return send_status::ok;
}

/// Puts a message into the lanes of a link that is about to be up.
void distribution::transmit(peer& peer, pid to, const message& message) {
  wire_buffer body;
  wire_writer writer{body, peer.number};
  put_signal(writer, to, message);
  std::lock_guard guard{peer.mutex};
  auto before = peer.lanes.size();
  peer.lanes.signal(sender_of(message), to, body);
  peer.queued += peer.lanes.size() - before;
}

void distribution::drained(peer& peer, node_link& link, std::size_t bytes) {
  std::vector<pid> blocked;
  {
    std::lock_guard guard{peer.mutex};
    if (peer.link.get() != &link) return;
    peer.queued -= std::min(bytes, peer.queued);
    if (peer.threads_waiting != 0 && peer.queued < options_.buffer) peer.drained.notify_all();
    if (peer.blocked.empty() || peer.queued > options_.buffer / 2) return;
    blocked.swap(peer.blocked);
  }
  release_senders(peer.id, blocked);
}

void distribution::send_tick(peer& peer, node_link& link) {
  std::lock_guard guard{peer.mutex};
  if (peer.link.get() != &link || !peer.lanes.empty()) return;
  peer.lanes.control(frame_type::tick, {});
  peer.queued += frame_header;
}

void release_senders(std::uint32_t peer, const std::vector<pid>& blocked) {
  for (auto process : blocked) {
    auto job = [peer] {
      auto& me = *current_process();
      if (!me.extra) return;
      std::erase(me.extra->waits_for, peer);
      me.waits_for_link = !me.extra->waits_for.empty();
    };
    enqueue(process, make_message<task>(message_kind::inspect, job));
  }
}

// --- coming in -----------------------------------------------------------------------------------

void distribution::take_signal(peer& peer, std::uint32_t number, std::string_view body) {
  auto signal = detail::take_signal(body, number);
  if (is_guest(peer.name) && !guest_may_send(signal))
    throw decode_error("expected a guest to ask the console, got something else");
  if (!signal.message) {
    auto what = signal.trouble;
    if (what == "unknown type") {
      std::lock_guard guard{peer.mutex};
      auto name = peer.type_names.find(signal.type_hash);
      what += " " + (name != peer.type_names.end() ? name->second
                                                   : "#" + std::to_string(signal.type_hash));
    }
    logger::warning(
        "a message from another node cannot be read and was dropped",
        {{"node", peer.name}, {"from", to_string(signal.from)}, {"trouble", what}});
    if (!signal.ref) return;
    auto notice = make_message<death_notice>(message_kind::no_reply, cannot_be_read(what));
    notice->ref = signal.ref;
    if (signal.kind == message_kind::call) enqueue(signal.from, std::move(notice));
    if (signal.kind == message_kind::reply) enqueue(signal.to, std::move(notice));
    return;
  }
  if (!signal.name.empty()) {
    signal.to = whereis(signal.name);
    if (!signal.to)
      return answer_for_the_dead(pid{}, std::move(signal.message), exit_reason::noproc);
  }
  enqueue(signal.to, std::move(signal.message));
}

void distribution::take_type_name(peer& peer, std::string_view body) {
  wire_reader in{body};
  auto hash = in.fixed64();
  auto name = in.text();
  std::lock_guard guard{peer.mutex};
  if (peer.type_names.size() < most_type_names && name.size() <= 255)
    peer.type_names.emplace(hash, name);
}

}  // namespace roost::detail
