#include "channels/transport/web_socket.hpp"
#include "channels/endpoint_context.hpp"
#include "channels/meters.hpp"
#include "channels/transport/deflate.hpp"
#include "channels/transport/utf8.hpp"
#include "channels/transport/worker_buffers.hpp"
#include "runtime/logger.hpp"
#include <sys/epoll.h>

namespace roost::detail {
namespace {

constexpr std::uint8_t watching_input = 1;
constexpr std::uint8_t watching_output = 2;
constexpr std::size_t largest_inflated = 64 * 1024;  // bytes of a buffer that is kept
constexpr std::uint64_t quiet_ms = 1000;             // who says nothing for so long has no hurry
constexpr std::uint64_t linger_ms = 2000;            // for the client's half of the closing
constexpr std::size_t linger_bytes = 64 << 20;       // … and as much as it may say meanwhile

/// A broadcast for many is compressed once on each worker: they come one after the other.
const fan_out_ptr& compressed_once(const fan_out_frame& plain, int window_bits) {
  static thread_local struct {
    std::weak_ptr<const shared_frame> of;
    int window_bits = 0;
    fan_out_ptr result;
  } last;
  if (last.window_bits == window_bits && last.result && last.of.lock() == plain.shared())
    return last.result;
  auto [kind, message] = message_in(*plain.shared());
  std::string compressed;
  deflate_message(message, window_bits, compressed);
  auto frame = std::make_shared<shared_frame>();
  append_frame(
      frame->bytes, kind == encoded::binary ? opcode::binary : opcode::text, compressed,
      {.rsv1 = true});
  last = {plain.shared(), window_bits, fan_out_ptr(new fan_out_frame(std::move(frame)))};
  return last.result;
}

}  // namespace

web_socket::web_socket(
    byte_stream stream, settings settings, client_list& list, socket_process& process)
    : connection(std::move(stream), manner::patient),
      transport(settings.protocol, settings.deflate_bits == 0),
      deflate_bits_(static_cast<std::uint8_t>(settings.deflate_bits)),
      process_(&process),
      socket_(process.core().self()),
      list_(list) {
  list_.add(*this);
  last_heard_ = worker::current()->now();
}

web_socket::~web_socket() = default;

void web_socket::destroy() noexcept {
  worker::current()->delete_after_poll(std::unique_ptr<io_handler>(this));
}

template <class F>
void web_socket::as_socket(F f) {
  if (process_ == nullptr || !is_alive(socket_)) return;
  run_as(process_->core(), f);
}

void web_socket::start(std::string& early) {
  add_ref();  // until the connection is lost
  watched_ = watching_input;
  worker::current()->rewatch(fd(), interests(), *this);
  if (!early.empty()) feed(early);
  // What TLS has decrypted already, epoll will not tell.
  while (state_ == state::open && !paused_ && stream().has_buffered()) read();
}

// --- reading -------------------------------------------------------------------------------------

void web_socket::on_io(std::uint32_t events) {
  if (state_ == state::closed) return;
  local_ptr<web_socket> alive(this);
  // A network that is cut ends thousands at once.
  bool ends = (events & (EPOLLHUP | EPOLLERR)) != 0;
  if (ends && !is_patient()) return become(manner::patient);
  if ((events & EPOLLOUT) != 0) {
    waiting_to_write_ = false;
    send_output();
  }
  if (state_ == state::closed) return;
  if (paused_) {
    // Epoll tells of an ended connection even when nobody asks.
    if (ends) lost();
    return;
  }
  if (ends || (events & EPOLLIN) != 0) read();
}

void web_socket::read() {
  auto buffer = read_buffer();
  auto [result, count] = stream().read(buffer);
  if (result == io_state::blocked) return;
  if (result == io_state::ended) return is_patient() ? lost() : become(manner::patient);
  auto now = worker::current()->now();
  // The first message, the join, has no hurry: thousands may come back at once.
  if (is_patient() && has_spoken_ && now - last_heard_ < quiet_ms) become(manner::prompt);
  has_spoken_ = true;
  last_heard_ = now;
  feed(buffer.first(count));
  if (state_ == state::open && !paused_ && process_ != nullptr && too_many_bytes(count)) pause({});
}

void web_socket::become(manner how) {
  worker::current()->set_manner(fd(), interests(), *this, how);
}

void web_socket::feed(std::span<char> bytes) {
  if (state_ == state::closing) {
    swallowed_ += bytes.size();
    if (swallowed_ > linger_bytes) lost();
    return;
  }
  as_socket([&] {
    const frame_limits limits{
        .max_frame_size = process_->options().max_frame_size, .allow_rsv1 = deflate_bits_ != 0};
    while (state_ == state::open && !paused_) {
      auto event = decoder_.next(bytes, limits);
      if (!event) break;
      on_event(event);
      if (state_ == state::open && must_pause()) pause(bytes);
    }
  });
}

void web_socket::on_event(frame_event& event) {
  std::string_view payload{event.payload.data(), event.payload.size()};
  switch (event.kind) {
    case frame_event::text:
    case frame_event::binary:
      return event.compressed ? on_compressed(event) : on_message(event);
    case frame_event::ping:
      return append(opcode::pong, payload);
    case frame_event::close:
      return close(event.code == close_code::none ? close_code::normal : event.code, {});
    case frame_event::error:
      if (event.code == close_code::message_too_big)
        list_.admission().note(
            list_.admission().messages_too_big, "max_frame_size", process_->initial_call());
      logger::debug(
          "protocol error, closing the socket",
          {{"process", to_string(socket_)}, {"reason", event.reason}});
      return close(event.code, {});
    case frame_event::pong:
    case frame_event::none:
      return;
  }
}

void web_socket::on_message(frame_event& event) {
  std::string_view payload{event.payload.data(), event.payload.size()};
  event.kind == frame_event::text ? process_->on_text(payload) : process_->on_binary(payload);
}

void web_socket::on_compressed(frame_event& event) {
  static thread_local std::string plain;
  plain.clear();
  auto result = inflate_message(
      {event.payload.data(), event.payload.size()}, process_->options().max_frame_size, plain);
  if (result == inflated::too_big) {
    list_.admission().note(
        list_.admission().messages_too_big, "max_frame_size", process_->initial_call());
    close(close_code::message_too_big, {});
  } else if (
      result == inflated::malformed || (event.kind == frame_event::text && !is_utf8(plain))) {
    close(close_code::invalid_payload, {});
  } else {
    event.payload = plain;
    on_message(event);
  }
  if (plain.capacity() > largest_inflated) plain = std::string();
}

// --- pausing -------------------------------------------------------------------------------------

/// After a message: whether the client has sent enough for now.
bool web_socket::must_pause() {
  if (held_back_) {
    resume_at_ = 0;
    return true;
  }
  auto& options = process_->options();
  if (inbound() > options.max_inbound) {
    resume_at_ = 0;  // when there is room again
    return true;
  }
  if (options.message_rate == 0) return false;
  return must_wait(messages_.count(
      1, options.message_rate, std::max(options.message_burst, 1U), worker::current()->now()));
}

/// After a read, in the middle of a message perhaps: whether that is enough for now.
bool web_socket::too_many_bytes(std::size_t count) {
  auto& options = process_->options();
  if (options.byte_rate == 0) return false;
  return must_wait(
      bytes_.count(count, options.byte_rate, options.byte_burst, worker::current()->now()));
}

bool web_socket::must_wait(std::uint64_t ms) {
  if (ms == 0) return false;
  resume_at_ = worker::current()->now() + ms;
  return true;
}

/// Stops reading, so that the kernel makes the client wait. `rest` has been read already.
void web_socket::pause(std::span<char> rest) {
  paused_ = true;
  held_ = std::make_unique<std::string>(rest.data(), rest.size());
  watch();
  if (held_back_) return;
  if (resume_at_ != 0)
    send_after(
        std::chrono::milliseconds(resume_at_ - worker::current()->now()), socket_, read_on{});
  list_.admission().note(
      list_.admission().throttled, resume_at_ == 0 ? "max_inbound" : "message_rate or byte_rate",
      process_->initial_call());
}

void web_socket::inbound_freed() {
  if (!paused_ || held_back_ || resume_at_ != 0 || process_ == nullptr ||
      inbound() > process_->options().max_inbound / 2)
    return;
  resume_at_ = 1;  // once is enough
  resume_soon();
}

/// Not from within a channel or the process, which are handling a message.
void web_socket::resume_soon() {
  worker::current()->post_function([self = local_ptr<web_socket>(this)]() mutable {
    self->resume();
    self = {};
  });
}

bool web_socket::on_message(message& message) {
  if (value_of<read_on>(message) == nullptr) return false;
  // It may be one of an earlier pause.
  if (paused_ && resume_at_ != 0 && worker::current()->now() >= resume_at_) resume_soon();
  return true;
}

std::optional<std::vector<char>> web_socket::hold(std::string_view message) {
  held_back_ = true;
  return decoder_.release({message.data(), message.size()});
}

void web_socket::release_hold() {
  held_back_ = false;
  inbound_freed();
}

void web_socket::resume() {
  if (!paused_ || state_ != state::open) return;
  local_ptr<web_socket> alive(this);
  paused_ = false;
  resume_at_ = 0;
  auto held = std::move(held_);
  last_heard_ = worker::current()->now();
  watch();
  if (held && !held->empty()) feed(*held);
  while (state_ == state::open && !paused_ && stream().has_buffered()) read();
}

// --- writing
// ---------------------------------------------------------------------------------------

void web_socket::schedule_flush() {
  if (waiting_to_write_ || flush_queued) return;
  add_ref();  // until flush() has run
  worker::current()->flush_later(*this);
}

void web_socket::flush() {
  if (state_ != state::closed && !waiting_to_write_) {
    if (auto rest = output_.rest(); !rest.empty() && !stream().is_tls())
      return worker::current()->sends().add(fd(), rest, *this);
    send_output();
  }
  release();  // of schedule_flush
}

void web_socket::on_sent(int result) {
  local_ptr<web_socket> alive(this);
  release();  // of schedule_flush
  if (result == -EAGAIN) return wait_to_write();
  if (result < 0) return lost();
  output_.has_sent(static_cast<std::size_t>(result));
  send_output();
}

/// Before the output changes: the worker's batch may have a part of it.
void web_socket::settle() {
  if (in_batch) worker::current()->sends().submit();
}

std::string& web_socket::open_output() {
  settle();
  return output_.open();
}

void web_socket::append(opcode code, std::string_view payload, bool rsv1) {
  if (state_ != state::open) return;
  open_output().append(encode_header(code, payload.size(), {.rsv1 = rsv1}).view()).append(payload);
  finish_output();
}

void web_socket::put(encoded kind, std::string_view message) {
  meters::here().messages_out.add();
  auto code = kind == encoded::binary ? opcode::binary : opcode::text;
  if (deflate_bits_ == 0) return append(code, message);
  static thread_local std::string compressed;
  compressed.clear();
  deflate_message(message, deflate_bits_, compressed);
  append(code, compressed, true);
}

void web_socket::write(const fan_out_ptr& plain) {
  if (state_ != state::open) return;
  settle();
  meters::here().messages_out.add(plain->messages());
  auto& frame = deflate_bits_ == 0 ? plain : compressed_once(*plain, deflate_bits_);
  output_.put(frame);
  finish_output();
}

void web_socket::finish_output() {
  if (output_.rest().size() <= max_outbound()) return schedule_flush();
  // A burst within one turn is not a slow client: what the kernel takes now does not count.
  if (!waiting_to_write_) send_output();
  close_if_slow();
}

std::size_t web_socket::max_outbound() const {
  return process_ != nullptr ? process_->options().max_outbound : ~std::size_t{0};
}

void web_socket::close_if_slow() {
  auto waiting = output_.rest().size();
  if (state_ != state::open || waiting <= max_outbound()) return;
  if (process_ != nullptr)
    list_.admission().note(
        list_.admission().slow_consumers, "max_outbound", process_->initial_call());
  logger::debug(
      "slow consumer, closing the socket",
      {{"process", to_string(socket_)}, {"waiting_bytes", waiting}});
  // What waits stays in front of the close frame: half a frame must not be cut off.
  close(close_code::try_again_later, "slow consumer");
}

void web_socket::send_output() {
  for (auto rest = output_.rest(); !rest.empty(); rest = output_.rest()) {
    auto [result, count] = stream().write(rest);
    if (result == io_state::ended) return lost();
    if (result == io_state::blocked) return wait_to_write();
    output_.has_sent(count);
  }
  output_.finish();
  watch();
  if (state_ == state::closing && !half_closed_) {
    half_closed_ = true;
    stream().end_output();
  }
}

/// The kernel's buffer is full.
void web_socket::wait_to_write() {
  output_.open();
  waiting_to_write_ = true;
  watch();
  close_if_slow();
}

/// Tells epoll what is waited for, when that has changed.
void web_socket::watch() {
  auto wanted = static_cast<std::uint8_t>(
      (paused_ ? 0 : watching_input) | (waiting_to_write_ ? watching_output : 0));
  if (std::exchange(watched_, wanted) == wanted) return;
  worker::current()->rewatch(fd(), interests(), *this);
}

std::uint32_t web_socket::interests() const noexcept {
  std::uint32_t events = 0;
  if ((watched_ & watching_input) != 0) events |= EPOLLIN;
  if ((watched_ & watching_output) != 0) events |= EPOLLOUT;
  return events;
}

// --- closing
// ---------------------------------------------------------------------------------------

void web_socket::close(close_code code, std::string_view reason) {
  deliver_waiting_broadcasts();
  if (state_ != state::open) return;
  append_close(open_output(), code, reason);
  state_ = state::closing;
  paused_ = false;  // the rest of what it says is read and dropped
  held_.reset();
  watch();
  closing_since_ = worker::current()->now();
  schedule_flush();
  if (auto* process = std::exchange(process_, nullptr))
    run_as(process->core(), [process, code] { process->transport_closed(code); });
}

void web_socket::abort() {
  process_ = nullptr;
  lost();
}

/// The connection is gone, one way or the other.
void web_socket::lost() {
  if (state_ == state::closed) return;
  local_ptr<web_socket> alive(this);
  settle();
  if (state_ == state::closed) return;  // the batch has found that it is gone
  state_ = state::closed;
  output_.drop();
  held_.reset();
  list_.remove(*this);
  list_.admission().leave_connection();
  close_stream();
  if (auto* process = std::exchange(process_, nullptr))
    if (is_alive(socket_))
      run_as(process->core(), [process] { process->transport_closed(close_code::none); });
  release();  // of start()
}

void web_socket::sweep(std::uint64_t now) {
  if (state_ == state::closing && now - closing_since_ > linger_ms) return lost();
  if (state_ != state::open || process_ == nullptr) return;
  if (paused_) return;
  if (!is_patient() && now - last_heard_ > quiet_ms) become(manner::patient);
  auto limit = process_->options().timeout.count();
  if (limit < 0 || now - last_heard_ <= static_cast<std::uint64_t>(limit)) return;
  count(list_.admission().idle_timeouts);
  // Not 1000, after which phoenix.js would stay away: the client may only have slept.
  close(close_code::going_away, {});
}

}  // namespace roost::detail
