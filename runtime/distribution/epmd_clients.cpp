#include "runtime/distribution/epmd_clients.hpp"
#include <algorithm>
#include <cerrno>
#include <variant>

namespace roost::detail::epmd {
namespace {

// Those who wait in line are taken a few at a time, so that who has asked gets a turn in a flood.
constexpr int accepted_at_once = 64;
constexpr std::chrono::milliseconds without_descriptors{100};
// Twice what a full table takes as a list.
constexpr std::size_t longest_relayed_answer = 256 * 1024;

enum class received { some, nothing_yet, end };

/// Receives as much as there is, up to `most` bytes in all.
received receive_into(std::string& bytes, const unique_fd& socket, std::size_t most) {
  char block[4096];
  auto room = std::min(sizeof block, most - std::min(most, bytes.size()));
  auto size = ::recv(socket.get(), block, room, 0);
  if (size > 0) bytes.append(block, static_cast<std::size_t>(size));
  if (size > 0) return received::some;
  return size < 0 && (errno == EAGAIN || errno == EINTR) ? received::nothing_yet : received::end;
}

/// Sends what the socket takes, and removes it. Answers false when the peer is gone.
bool send_from(std::string& bytes, const unique_fd& socket) {
  auto sent = ::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  if (sent > 0) bytes.erase(0, static_cast<std::size_t>(sent));
  return sent >= 0 || errno == EAGAIN || errno == EINTR;
}

}  // namespace

int clients::listen(const socket_address& at, bool shared) {
  int error = 0;
  auto socket = listen_at(at, shared, error);
  if (error == 0) listeners_.push_back({at, std::move(socket)});
  return error;
}

bool clients::listens_at(const socket_address& at) const {
  return std::ranges::any_of(listeners_, [&](auto& one) {
    return one.at == at || (one.at.is_any() && one.at.family() == at.family());
  });
}

std::string clients::addresses() const {
  std::string result;
  for (auto& one : listeners_) result += (result.empty() ? "" : ", ") + one.at.to_string();
  return result;
}

void clients::watch(std::vector<pollfd>& polled) {
  watched_.clear();
  auto add = [&](kind what, id which, const unique_fd& socket, int events) {
    watched_.push_back({what, which});
    polled.push_back({socket.get(), static_cast<short>(events), 0});
  };
  // In this order: a name that is given up is free for who asks for it at the same moment.
  for (auto& [which, socket] : registrations_) add(kind::registration, which, socket, POLLIN);
  for (auto& [which, one] : clients_) {
    add(kind::client, which, one.socket, one.is_asking() ? POLLIN : one.is_answered ? POLLOUT : 0);
    if (one.upstream)
      add(kind::upstream, which, one.upstream, one.relayed.empty() ? POLLIN : POLLOUT);
  }
  for (std::size_t i = 0; i < listeners_.size() && !accepting_again_; ++i)
    add(kind::listener, i, listeners_[i].socket, POLLIN);
}

void clients::handle(std::span<const pollfd> polled) {
  for (std::size_t i = 0; i < watched_.size(); ++i) {
    auto events = polled[i].revents;
    auto [what, which] = watched_[i];
    if (events == 0) continue;
    if (what == kind::registration) handle_registration(which);
    if (what == kind::listener) accept_some(listeners_[which]);
    // An earlier event may have closed it.
    auto place = clients_.find(which);
    if (place == clients_.end()) continue;
    if (what == kind::client) handle_client(place, events);
    if (what == kind::upstream) handle_upstream(place);
  }
}

std::optional<clock::time_point> clients::due() const {
  auto result = accepting_again_;
  if (!clients_.empty()) {
    auto oldest = clients_.begin()->second.until;
    result = result ? std::min(*result, oldest) : oldest;
  }
  return result;
}

void clients::cut_off(clock::time_point now) {
  while (!clients_.empty() && clients_.begin()->second.until <= now)
    clients_.erase(clients_.begin());
  if (accepting_again_ && *accepting_again_ <= now) accepting_again_.reset();
}

// -------------------------------------------------------------------------------------- arrivals

void clients::accept_some(const listener& from) {
  for (int i = 0; i < accepted_at_once; ++i) {
    sockaddr_storage storage{};
    auto* address = reinterpret_cast<sockaddr*>(&storage);
    socklen_t size = sizeof storage;
    unique_fd socket(::accept4(from.socket.get(), address, &size, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket) {
      if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) make_do();
      return;
    }
    make_room();
    clients_.emplace(
        ++last_id_, client{
                        .socket = std::move(socket),
                        .is_local = socket_address(address, size).is_loopback(),
                        .until = clock::now() + patience});
  }
}

/// No descriptors are left. The oldest client goes, and the next turn accepts one more.
void clients::make_do() {
  if (!clients_.empty())
    clients_.erase(clients_.begin());
  else  // Who waits in line stays there, and polling would end at once, again and again.
    accepting_again_ = clock::now() + without_descriptors;
}

void clients::make_room() {
  if (clients_.size() >= most) clients_.erase(clients_.begin());
}

/// A registration is a connection on which nothing is said any more; what comes is its end, or
/// breaks the protocol.
void clients::handle_registration(id which) {
  auto place = registrations_.find(which);
  std::string ignored;
  if (receive_into(ignored, place->second, 1) == received::nothing_yet) return;
  server_.closed(which);
  registrations_.erase(place);
}

// -------------------------------------------------------------------------------- who asks

void clients::handle_client(client_place place, short events) {
  auto& one = place->second;
  if (one.is_asking()) {
    auto state = receive_into(one.received, one.socket, longest_request);
    if (state == received::nothing_yet) return;
    if (state == received::end || !take_request(place)) clients_.erase(place);
    return;
  }
  if (one.is_answered)
    proceed(place);
  else if ((events & (POLLERR | POLLHUP)) != 0)
    clients_.erase(place);
}

/// Answers false when the connection is of no more use; otherwise the place may be gone.
bool clients::take_request(client_place place) {
  auto& [which, one] = *place;
  request request;
  auto state = decode_request(one.received, request);
  if (state == progress::incomplete) return true;
  if (state == progress::malformed) return false;
  auto reply = server_.answer({.connection = which, .is_local = one.is_local}, request);
  using next = server::reply::next;
  if (reply.then == next::relay) {
    relay(one);
    return static_cast<bool>(one.upstream);
  }
  one.answer = std::move(reply.bytes);
  one.is_answered = true;
  if (reply.then != next::keep) {
    proceed(place);
    return true;
  }
  // Few bytes on a new connection, so they fit.
  if (!send_from(one.answer, one.socket) || !one.answer.empty()) {
    server_.closed(which);
    return false;
  }
  registrations_.emplace(which, std::move(one.socket));
  return false;
}

/// Sends on; once all has been sent the connection ends.
void clients::proceed(client_place place) {
  auto& one = place->second;
  if (!send_from(one.answer, one.socket) || one.answer.empty()) clients_.erase(place);
}

// ------------------------------------------------------------------------------ relayed requests

void clients::relay(client& one) {
  int error = 0;
  one.upstream = start_connect(primary_, error);
  one.relayed = std::move(one.received);
}

void clients::handle_upstream(client_place place) {
  auto& one = place->second;
  if (!one.relayed.empty()) {
    bool goes_on = connect_error(one.upstream) == 0 && send_from(one.relayed, one.upstream);
    if (!goes_on) clients_.erase(place);
    return;
  }
  auto state = receive_into(one.answer, one.upstream, longest_relayed_answer);
  if (state == received::nothing_yet) return;
  if (one.answer.size() == longest_relayed_answer) return void(clients_.erase(place));
  if (state == received::some) return;
  one.upstream.reset();
  one.is_answered = true;
  proceed(place);
}

}  // namespace roost::detail::epmd
