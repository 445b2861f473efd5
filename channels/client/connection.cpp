#include "channels/client/connection.hpp"
#include "channels/client/upgrade.hpp"
#include "channels/transport/worker_buffers.hpp"
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/rand.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <array>
#include <cerrno>
#include <cstring>

namespace roost::detail {
namespace {

constexpr std::size_t max_head = 16 * 1024;
constexpr int reads_per_event = 8;  // then the others of the worker have their turn

/// Each frame wants a key that nobody can foresee (RFC 6455, 5.3); asking for many at a time makes
/// one cheap.
mask_key random_mask() {
  static thread_local std::array<unsigned char, 4096> pool;
  static thread_local std::size_t used = pool.size();
  if (used == pool.size()) {
    if (RAND_bytes(pool.data(), static_cast<int>(pool.size())) != 1)
      throw std::runtime_error("expected OpenSSL to give random bytes, got none");
    used = 0;
  }
  mask_key key;
  std::memcpy(key.data(), pool.data() + used, key.size());
  used += key.size();
  return key;
}

struct free_addresses {
  void operator()(addrinfo* list) const noexcept { ::freeaddrinfo(list); }
};

/// Reads a numeric address, which asks nobody.
std::unique_ptr<addrinfo, free_addresses> read_address(
    const std::string& address, std::uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  ::getaddrinfo(address.c_str(), std::to_string(port).c_str(), &hints, &found);
  return std::unique_ptr<addrinfo, free_addresses>(found);
}

std::string words_for(int error) { return std::generic_category().message(error); }

}  // namespace

client_connection::client_connection(process& core, user& user, settings settings)
    : core_(&core),
      user_(&user),
      settings_(std::move(settings)),
      limits_{.max_frame_size = settings_.max_frame_size, .role = frame_role::client} {}

client_connection::~client_connection() { close_fd(); }

void client_connection::drop(
    std::unique_ptr<client_connection> connection, std::optional<close_code> code) {
  if (!connection) return;
  connection->user_ = nullptr;
  if (code) connection->close(*code, {});
  connection->core_ = nullptr;
  connection->state_ = state::closed;
  connection->close_fd();
  // The events that are being served may still name it, and so may the list of the flush, which
  // then lets go of it.
  if (connection->flush_queued)
    static_cast<void>(connection.release());
  else
    worker::current()->delete_after_poll(std::move(connection));
}

// --- connecting ----------------------------------------------------------------------------------

std::string client_connection::connect(const std::string& address, std::uint16_t port) {
  auto where = read_address(address, port);
  if (!where) return "an address that is none: " + address;
  fd_ = ::socket(where->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd_ < 0) return words_for(errno);
  const int on = 1;
  ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  const bool failed = ::connect(fd_, where->ai_addr, where->ai_addrlen) != 0 &&
                      errno != EINPROGRESS && errno != EINTR;
  const auto error = errno;
  // Watched in any case, since close_fd() will take it back.
  worker::current()->watch(fd_, EPOLLIN | EPOLLOUT, *this);
  watching_output_ = true;
  if (!failed) return {};
  close_fd();
  return words_for(error);
}

void client_connection::finish_connecting() {
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) return lost({.reason = words_for(error), .no_address = true});
  state_ = state::shaking_hands;
  user_->on_connected();
  if (core_ == nullptr) return;
  if (!settings_.tls) return upgrade();
  try {
    tls_ = std::make_unique<tls_session>(*settings_.tls, fd_, settings_.host, settings_.verify);
  } catch (const std::runtime_error& unfit) {
    return failed(unfit.what());
  }
  shake_hands();
}

void client_connection::shake_hands() {
  auto result = tls_->shake_hands();
  if (result.what == stream_result::done) return upgrade();
  if (result.what == stream_result::blocked) return watch(result.wants_to_write);
  failed(std::move(result.reason));
}

void client_connection::upgrade() {
  state_ = state::upgrading;
  output_ = std::exchange(settings_.request, {});
  send_output();
}

void client_connection::read_head(std::span<char> bytes) {
  const auto before = head_.size();
  head_.append(bytes.data(), bytes.size());
  const auto end = head_.find("\r\n\r\n", before < 3 ? 0 : before - 3);
  if (end == head_.npos) {
    if (head_.size() > max_head)
      lost({.reason = "an answer with headers of more than 16 KiB", .bad_input = true});
    return;
  }
  const auto answer = check_upgrade_answer(
      std::string_view(head_).substr(0, end), settings_.key, std::chrono::system_clock::now());
  if (!answer.accepted)
    return lost(
        {.reason = answer.reason,
         .bad_input = answer.status == 0 || answer.status == 101,
         .retry_after = answer.retry_after});
  auto head = std::exchange(head_, {});
  settings_.key = {};
  state_ = state::open;
  user_->on_open();
  if (state_ == state::open) feed(std::span(head).subspan(end + 4));
}

// --- reading -------------------------------------------------------------------------------------

void client_connection::on_io(std::uint32_t events) {
  if (core_ == nullptr) return;
  run_as(*core_, [this, events] {
    if (state_ == state::connecting) return finish_connecting();
    if (state_ == state::shaking_hands) return shake_hands();
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) read();
    // TLS may have had to read before it could write, so a write is tried after both.
    if ((events & EPOLLOUT) != 0 || output_blocked_) send_output();
  });
}

void client_connection::read_now() { read(); }

void client_connection::read() {
  auto buffer = read_buffer();
  for (int i = 0; i < reads_per_event || (tls_ && tls_->has_more()); ++i) {
    if (state_ != state::upgrading && state_ != state::open) return;
    auto result = receive(buffer);
    if (result.what == stream_result::blocked) return result.wants_to_write ? watch(true) : void();
    if (result.what != stream_result::done) return failed(std::move(result.reason));
    const auto bytes = buffer.first(result.count);
    state_ == state::open ? feed(bytes) : read_head(bytes);
    if (!tls_ && result.count < buffer.size()) return;
  }
}

stream_result client_connection::receive(std::span<char> buffer) {
  if (tls_) return tls_->read(buffer);
  const auto count = ::recv(fd_, buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (count > 0) return {.count = static_cast<std::size_t>(count)};
  if (count == 0) return {.what = stream_result::ended, .reason = "a closed connection"};
  if (errno == EAGAIN || errno == EINTR) return {.what = stream_result::blocked};
  return {.what = stream_result::failed, .reason = words_for(errno)};
}

void client_connection::feed(std::span<char> bytes) {
  while (state_ == state::open) {
    auto event = decoder_.next(bytes, limits_);
    if (!event) return;
    on_frame(event);
  }
}

void client_connection::on_frame(frame_event& event) {
  const std::string_view payload{event.payload.data(), event.payload.size()};
  switch (event.kind) {
    case frame_event::text:
    case frame_event::binary:
      return user_->on_message(event);
    case frame_event::ping:
      if (waiting_bytes() <= settings_.max_outbound) return append(opcode::pong, payload);
      return failed("a server that pings and does not read");
    case frame_event::close: {
      const std::string reason(event.reason);
      const auto code = event.code;
      return close(
          code, {.reason = "close code " + std::to_string(static_cast<int>(code)) +
                           (reason.empty() ? "" : ": " + reason),
                 .code = code});
    }
    case frame_event::error:
      return close(event.code, {.reason = std::string(event.reason), .bad_input = true});
    case frame_event::pong:
    case frame_event::none:
      return;
  }
}

// --- writing -------------------------------------------------------------------------------------

bool client_connection::write(opcode code, std::string_view payload) {
  if (state_ != state::open) return false;
  if (waiting_bytes() > settings_.max_outbound) {
    // A burst within one turn is no slow server: what the kernel takes now does not wait.
    if (!output_blocked_) send_output();
    if (state_ != state::open || waiting_bytes() > settings_.max_outbound) return false;
  }
  append(code, payload);
  return true;
}

void client_connection::append(opcode code, std::string_view payload) {
  give_room(output_);
  append_frame(output_, code, payload, {.mask = random_mask()});
  if (!output_blocked_) worker::current()->flush_later(*this);
}

void client_connection::flush() {
  if (core_ == nullptr)
    return worker::current()->delete_after_poll(std::unique_ptr<io_handler>(this));
  if (output_blocked_ || state_ == state::closed) return;
  run_as(*core_, [this] { send_output(); });
}

stream_result client_connection::transmit(std::string_view bytes) {
  if (tls_) return tls_->write(bytes);
  const auto count = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (count >= 0) return {.count = static_cast<std::size_t>(count)};
  if (errno == EAGAIN || errno == EINTR)
    return {.what = stream_result::blocked, .wants_to_write = true};
  return {.what = stream_result::failed, .reason = words_for(errno)};
}

void client_connection::send_output() {
  if (fd_ < 0) return;
  while (sent_ < output_.size()) {
    auto result = transmit(std::string_view(output_).substr(sent_));
    if (result.what == stream_result::blocked) {
      output_blocked_ = true;
      return watch(result.wants_to_write);
    }
    if (result.what != stream_result::done) return failed(std::move(result.reason));
    sent_ += result.count;
  }
  output_blocked_ = false;
  sent_ = 0;
  take_room(output_);
  watch(false);
}

void client_connection::watch(bool output) {
  if (fd_ < 0 || std::exchange(watching_output_, output) == output) return;
  worker::current()->rewatch(fd_, output ? EPOLLIN | EPOLLOUT : EPOLLIN, *this);
}

// --- the end -------------------------------------------------------------------------------------

void client_connection::close(close_code code, connection_end end) {
  if (state_ == state::open) {
    append_close(output_, code, {}, {.mask = random_mask()});
    if (!output_blocked_) send_output();
  }
  lost(std::move(end));
}

void client_connection::lost(connection_end end) {
  if (state_ == state::closed) return;
  state_ = state::closed;
  close_fd();
  if (auto* user = std::exchange(user_, nullptr)) user->on_lost(std::move(end));
}

void client_connection::close_fd() noexcept {
  tls_.reset();
  if (fd_ < 0) return;
  worker::current()->unwatch(fd_, *this);
  ::close(std::exchange(fd_, -1));
}

}  // namespace roost::detail
