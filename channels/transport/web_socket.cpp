#include "channels/transport/web_socket.hpp"
#include "runtime/logger.hpp"
#include <sys/epoll.h>
#include <sys/socket.h>

namespace roost::detail {
namespace {

constexpr std::size_t read_size = 64 * 1024;
constexpr std::uint64_t linger_ms = 2000;       // for the client's half of the closing
constexpr std::size_t linger_bytes = 64 << 20;  // … and as much as it may say meanwhile

/// Output buffers of connections that have nothing to send at the moment wait here.
class buffer_pool {
 public:
  std::string take() {
    if (free_.empty()) return {};
    auto buffer = std::move(free_.back());
    free_.pop_back();
    return buffer;
  }
  void put(std::string& buffer) {
    if (buffer.capacity() > most_bytes || free_.size() == most_buffers) {
      buffer = std::string();
      return;
    }
    buffer.clear();
    free_.push_back(std::exchange(buffer, {}));
  }

 private:
  static constexpr std::size_t most_buffers = 256;
  static constexpr std::size_t most_bytes = 16 * 1024;
  std::vector<std::string> free_;
};

buffer_pool& buffers() {
  static thread_local buffer_pool pool;
  return pool;
}

/// One for all connections of a worker: nothing stays in it between two reads.
std::span<char> read_buffer() {
  static thread_local std::unique_ptr<char[]> buffer{new char[read_size + 64]};
  return {buffer.get(), read_size};
}

}  // namespace

web_socket::web_socket(
    int fd, enum protocol protocol, connection_list& list, socket_process& process)
    : connection(fd),
      transport(protocol),
      list_(list),
      process_(&process),
      socket_(process.core().self()),
      limits_{.max_frame_size = process.options().max_frame_size} {
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
  worker::current()->watch(fd(), EPOLLIN, *this);
  if (!early.empty()) feed(early);
}

// --- reading
// ---------------------------------------------------------------------------------------

void web_socket::on_io(std::uint32_t events) {
  if (state_ == state::closed) return;
  local_ptr<web_socket> alive(this);
  if ((events & EPOLLOUT) != 0) {
    waiting_to_write_ = false;
    send_output();
  }
  if (state_ != state::closed && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) read();
}

void web_socket::read() {
  auto buffer = read_buffer();
  auto count = ::recv(fd(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (count <= 0) return lost();
  last_heard_ = worker::current()->now();
  feed(buffer.first(static_cast<std::size_t>(count)));
}

void web_socket::feed(std::span<char> bytes) {
  if (state_ == state::closing) {
    swallowed_ += bytes.size();
    if (swallowed_ > linger_bytes) lost();
    return;
  }
  as_socket([&] {
    while (state_ == state::open) {
      auto event = decoder_.next(bytes, limits_);
      if (!event) break;
      on_event(event);
    }
  });
}

void web_socket::on_event(frame_event& event) {
  std::string_view payload{event.payload.data(), event.payload.size()};
  switch (event.kind) {
    case frame_event::text:
      return process_->on_text(payload);
    case frame_event::binary:
      return process_->on_binary(payload);
    case frame_event::ping:
      return append(opcode::pong, payload);
    case frame_event::close:
      return close(event.code == close_code::none ? close_code::normal : event.code, {});
    case frame_event::error:
      logger::debug(
          "protocol error, closing the socket",
          {{"process", to_string(socket_)}, {"reason", event.reason}});
      return close(event.code, {});
    case frame_event::pong:
    case frame_event::none:
      return;
  }
}

// --- writing
// ---------------------------------------------------------------------------------------

void web_socket::schedule_flush() {
  if (waiting_to_write_ || flush_queued) return;
  add_ref();  // until flush() has run
  worker::current()->flush_later(*this);
}

void web_socket::flush() {
  local_ptr<web_socket> alive(this);
  release();  // of schedule_flush
  if (state_ != state::closed && !waiting_to_write_) send_output();
}

/// The output as one buffer to append to.
std::string& web_socket::open_output() {
  if (output_.capacity() < 64) output_ = buffers().take();
  if (only_) output_.append(std::exchange(only_, nullptr)->bytes);
  return output_;
}

void web_socket::append(opcode code, std::string_view payload) {
  if (state_ != state::open) return;
  open_output().append(encode_header(code, payload.size()).view()).append(payload);
  finish_output();
}

void web_socket::write(encoded kind, std::string_view message) {
  append(kind == encoded::binary ? opcode::binary : opcode::text, message);
}

void web_socket::write(const shared_frame_ptr& frame) {
  if (state_ != state::open) return;
  if (output_.empty() && !only_) {
    only_ = frame;
    return schedule_flush();
  }
  open_output().append(frame->bytes);
  finish_output();
}

void web_socket::finish_output() {
  if (output_.size() - sent_ <= max_outbound()) return schedule_flush();
  // A burst within one turn is not a slow client: what the kernel takes now does not count.
  if (!waiting_to_write_) send_output();
  close_if_slow();
}

std::size_t web_socket::max_outbound() const {
  return process_ != nullptr ? process_->options().max_outbound : ~std::size_t{0};
}

void web_socket::close_if_slow() {
  auto waiting = output_.size() - sent_;
  if (state_ != state::open || waiting <= max_outbound()) return;
  logger::warning(
      "slow consumer, closing the socket",
      {{"process", to_string(socket_)}, {"waiting_bytes", waiting}});
  // What waits stays in front of the close frame: half a frame must not be cut off.
  close(close_code::try_again_later, "slow consumer");
}

void web_socket::send_output() {
  std::string_view bytes = only_ ? std::string_view(only_->bytes) : std::string_view(output_);
  while (sent_ < bytes.size()) {
    auto count =
        ::send(fd(), bytes.data() + sent_, bytes.size() - sent_, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno != EAGAIN) return lost();
    if (count < 0) {
      (void)open_output();
      waiting_to_write_ = true;
      watch_output(true);
      return close_if_slow();
    }
    sent_ += static_cast<std::size_t>(count);
  }
  only_.reset();
  sent_ = 0;
  if (output_.capacity() >= 64) buffers().put(output_);
  watch_output(false);
  if (state_ == state::closing && !half_closed_) {
    half_closed_ = true;
    ::shutdown(fd(), SHUT_WR);
  }
}

void web_socket::watch_output(bool on) {
  if (std::exchange(watching_output_, on) == on) return;
  worker::current()->rewatch(fd(), on ? EPOLLIN | EPOLLOUT : EPOLLIN, *this);
}

// --- closing
// ---------------------------------------------------------------------------------------

void web_socket::close(close_code code, std::string_view reason) {
  if (state_ != state::open) return;
  append_close(open_output(), code, reason);
  state_ = state::closing;
  closing_since_ = worker::current()->now();
  schedule_flush();
  if (auto* process = std::exchange(process_, nullptr))
    run_as(process->core(), [process] { process->transport_closed(); });
}

void web_socket::abort() {
  process_ = nullptr;
  lost();
}

/// The connection is gone, one way or the other.
void web_socket::lost() {
  if (state_ == state::closed) return;
  local_ptr<web_socket> alive(this);
  state_ = state::closed;
  output_ = std::string();
  only_.reset();
  list_.remove(*this);
  close_fd();
  if (auto* process = std::exchange(process_, nullptr))
    if (is_alive(socket_)) run_as(process->core(), [process] { process->transport_closed(); });
  release();  // of start()
}

void web_socket::sweep(std::uint64_t now) {
  if (state_ == state::closing && now - closing_since_ > linger_ms) return lost();
  if (state_ != state::open || process_ == nullptr) return;
  auto limit = process_->options().timeout.count();
  if (limit >= 0 && now - last_heard_ > static_cast<std::uint64_t>(limit))
    // Not 1000, after which phoenix.js would stay away: the client may only have slept.
    close(close_code::going_away, {});
}

}  // namespace roost::detail
