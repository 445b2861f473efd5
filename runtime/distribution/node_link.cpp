#include "runtime/distribution/node_link.hpp"
#include "runtime/distribution/distribution.hpp"
#include "runtime/logger.hpp"
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cerrno>
#include <cstring>

namespace roost::detail {
namespace {

constexpr std::size_t read_size = 128 * 1024;
constexpr int reads_per_turn = 4;
constexpr std::size_t write_size = 256 * 1024;

/// Keeps the connection until its home has looked at the events that may still name it.
struct last_reference final : io_handler {
  explicit last_reference(std::shared_ptr<node_link> keeps) : keeps(std::move(keeps)) {}
  void on_io(std::uint32_t) override {}
  std::shared_ptr<node_link> keeps;
};

std::string text_of(int error) {
  char buffer[128] = {};
  return ::strerror_r(error, buffer, sizeof buffer);
}

}  // namespace

node_link::node_link(distribution& nodes, parts parts)
    : nodes_(nodes),
      fd_(parts.fd),
      home_(*parts.home),
      side_(parts.side),
      expected_(parts.expected),
      address_(std::move(parts.address)),
      channel_(std::move(parts.channel)),
      handshake_(parts.side, std::move(parts.mine), parts.expected),
      streams_(nodes.options().max_message),
      flush_nodes_(scheduler::instance()->size()) {}

node_link::~node_link() { ::close(fd_); }

void node_link::start() {
  if (is_closed()) return;
  home_.watch(fd_, EPOLLIN | EPOLLRDHUP, *this);
  watched_ = true;
  std::string out;
  {
    std::lock_guard guard{read_mutex_};
    channel_->start(out);
  }
  send_raw(out);
}

// --- reading -------------------------------------------------------------------------------------

void node_link::on_io(std::uint32_t events) {
  auto self = shared_from_this();  // closing may drop every other reference
  if ((events & EPOLLOUT) != 0) {
    home_.rewatch(fd_, EPOLLIN | EPOLLRDHUP, *this);
    stalled_.store(false, std::memory_order_release);
    flush();
  }
  if ((events & ~static_cast<std::uint32_t>(EPOLLOUT)) == 0) return;
  bool open;
  {
    std::lock_guard guard{read_mutex_};
    open = read_some();
  }
  if (!open) ended(ending_);
}

bool node_link::read_some() {
  static thread_local std::unique_ptr<char[]> buffer{new char[read_size]};
  for (int i = 0; i < reads_per_turn && !is_closed() && ending_.empty(); ++i) {
    auto count = ::recv(fd_, buffer.get(), read_size, 0);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
    if (count <= 0) {
      ending_ = count == 0 || errno == ECONNRESET ? "connection_closed" : text_of(errno);
      break;
    }
    received_.fetch_add(static_cast<std::uint64_t>(count), std::memory_order_relaxed);
    try {
      take_bytes({buffer.get(), static_cast<std::size_t>(count)});
    } catch (const std::exception& error) {
      ending_ = error.what();
    }
    if (static_cast<std::size_t>(count) < read_size) break;
  }
  return ending_.empty();
}

void node_link::take_bytes(std::string_view bytes) {
  if (established_ && channel_->passes_through()) return take_plain(bytes);
  std::string plain;
  std::string out;
  auto state = channel_->received(bytes, plain, out);
  if (!out.empty()) send_raw(out);
  if (state == secure_channel::state::failed) {
    ending_ = why_channel_failed();
    return;
  }
  if (state == secure_channel::state::established && !std::exchange(established_, true) &&
      side_ == handshake::side::client) {
    std::string hello;
    handshake_.start(hello);
    proceed(handshake::step::more, hello);
  }
  if (!plain.empty()) take_plain(plain);
}

std::string node_link::why_channel_failed() const {
  auto text = channel_->error();
  return text.empty() ? "connection_closed" : text;
}

void node_link::take_plain(std::string_view plain) {
  std::string joined;
  if (!in_.empty()) {
    joined = std::move(in_);
    joined.append(plain);
    plain = joined;
  }
  in_.clear();
  while (!is_closed() && ending_.empty()) {
    auto frame = take_frame(plain, is_up() ? largest_frame : largest_hello);
    if (!frame) break;
    if (is_up())
      take_frame_of_peer(*frame);
    else
      take_frame_before_up(*frame);
  }
  in_.assign(plain);
}

void node_link::take_frame_before_up(const frame& frame) {
  std::string out;
  auto step = handshake_.received(frame, out);
  if (step == handshake::step::decide) return decide();
  proceed(step, out);
}

void node_link::decide() {
  verdict verdict;
  auto& hello = handshake_.peer();
  if (!channel_->may_be(hello.node))
    verdict = {verdict_code::refused, "expected proof of being " + hello.node};
  else
    verdict = nodes_.decide(shared_from_this(), hello);
  std::string out;
  auto step = handshake_.answer(verdict, out);
  proceed(step, out);
}

void node_link::proceed(handshake::step step, const std::string& out) {
  if (!out.empty()) {
    std::string bytes;
    if (channel_->passes_through())
      bytes = out;
    else
      channel_->send(out, bytes);
    send_raw(bytes);
  }
  switch (step) {
    case handshake::step::more:
    case handshake::step::decide:
      return;
    case handshake::step::refused:
      ending_ = handshake_.error().empty() ? "refused" : handshake_.error();
      return;
    case handshake::step::waits:
      nodes_.wait_for_other(shared_from_this());
      ending_ = "simultaneous";
      return;
    case handshake::step::up:
      break;
  }
  if (!channel_->may_be(handshake_.peer().node)) {
    ending_ = "expected proof of being " + handshake_.peer().node + ", got another node";
    return;
  }
  auto* peer = nodes_.up(shared_from_this(), handshake_.peer(), [this](detail::peer& settled) {
    number_ = settled.number;
    peer_.store(&settled, std::memory_order_release);
    up_.store(true, std::memory_order_release);
  });
  if (peer == nullptr) ending_ = "superseded";
}

void node_link::take_frame_of_peer(const frame& frame) {
  auto& peer = *peer_.load(std::memory_order_relaxed);
  switch (frame.type) {
    case frame_type::tick:
      return;
    case frame_type::signal:
      return nodes_.take_signal(peer, number_, frame.body);
    case frame_type::fragment:
      if (auto whole = streams_.take(frame.body)) nodes_.take_signal(peer, number_, *whole);
      return;
    case frame_type::type_name:
      return nodes_.take_type_name(peer, frame.body);
    case frame_type::nodes:
      return nodes_.take_nodes(peer, frame.body);
    case frame_type::lost:
      return nodes_.take_lost(peer, frame.body);
    default:
      throw decode_error(
          "expected a known frame, got type " + std::to_string(static_cast<unsigned>(frame.type)));
  }
}

// --- writing -------------------------------------------------------------------------------------

/// Bytes that do not come from the lanes: those of the handshake.
void node_link::send_raw(std::string_view bytes) {
  {
    std::lock_guard guard{write_mutex_};
    wire_.append(bytes);
  }
  flush();
}

void node_link::flush_node::flush() {
  auto link = std::move(keeps);
  link->flush();
}

void node_link::flush_soon() {
  if (auto* here = worker::current()) {
    auto& node = flush_nodes_[here->index()];
    if (node.flush_queued) return;
    node.keeps = shared_from_this();
    return here->flush_later(node);
  }
  if (posted_.exchange(true, std::memory_order_acq_rel)) return;
  home_.post_function([self = shared_from_this()] {
    self->posted_.store(false, std::memory_order_release);
    self->flush();
  });
}

void node_link::flush() {
  dirty_.store(true);
  while (dirty_.load() && !is_closed() && !stalled_.load()) {
    std::unique_lock guard{write_mutex_, std::try_to_lock};
    if (!guard) return;
    dirty_.store(false);
    if (!write_some()) return;
  }
}

/// Makes the next bytes for the socket out of what waits in the lanes.
bool node_link::fill() {
  wire_.clear();
  wire_sent_ = 0;
  auto* peer = peer_.load(std::memory_order_acquire);
  if (peer == nullptr) return false;
  auto& plain = channel_->passes_through() ? wire_ : plain_;
  plain.clear();
  {
    std::lock_guard guard{peer->mutex};
    if (peer->link.get() != this || peer->lanes.empty()) return false;
    peer->lanes.take(plain, write_size);
  }
  in_flight_ = plain.size();
  if (&plain == &plain_ && !channel_->send(plain_, wire_)) write_failed_ = true;
  return true;
}

bool node_link::write_some() {
  while (!write_failed_) {
    if (wire_sent_ == wire_.size()) {
      if (auto* peer = peer_.load(std::memory_order_acquire); peer != nullptr && in_flight_ != 0)
        nodes_.drained(*peer, *this, std::exchange(in_flight_, 0));
      if (!fill() || write_failed_) return !write_failed_;
    }
    auto count = ::send(fd_, wire_.data() + wire_sent_, wire_.size() - wire_sent_, MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      stalled_.store(true, std::memory_order_release);
      home_.rewatch(fd_, EPOLLIN | EPOLLRDHUP | EPOLLOUT, *this);
      return false;
    }
    // What the other end has sent before it went is still read; that finds the end of the stream.
    if (count < 0) {
      write_failed_ = true;
      return false;
    }
    sent_.fetch_add(static_cast<std::uint64_t>(count), std::memory_order_relaxed);
    wire_sent_ += static_cast<std::size_t>(count);
  }
  return false;
}

// --- the end -------------------------------------------------------------------------------------

void node_link::ended(std::string reason) { close(std::move(reason)); }

void node_link::close(std::string reason, bool quiet) {
  if (closed_.exchange(true)) return;
  auto self = shared_from_this();
  ::shutdown(fd_, SHUT_RDWR);
  nodes_.lost(self, reason, quiet);
  home_.post_function([self] {
    if (self->watched_) self->home_.unwatch(self->fd_, *self);
    self->home_.delete_after_poll(std::make_unique<last_reference>(self));
  });
}

unsigned node_link::tick() {
  auto sent = sent_.load(std::memory_order_relaxed);
  if (sent == sent_before_ && is_up()) {
    if (auto* peer = peer_.load(std::memory_order_acquire)) nodes_.send_tick(*peer, *this);
    flush();
  }
  sent_before_ = sent_.load(std::memory_order_relaxed);
  // Somebody who reads at this moment is a sign of life in itself.
  bool open = true;
  bool somebody_reads = true;
  if (std::unique_lock guard{read_mutex_, std::try_to_lock}; guard) {
    somebody_reads = false;
    open = read_some();
  }
  if (!open) ended(ending_);
  auto received = received_.load(std::memory_order_relaxed);
  silent_ = received == received_before_ && !somebody_reads ? silent_ + 1 : 0;
  received_before_ = received;
  return silent_;
}

}  // namespace roost::detail
