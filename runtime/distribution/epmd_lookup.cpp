// Asking a port mapper: connect, one request, one answer, all before the deadline.
#include "runtime/distribution/epmd_sockets.hpp"
#include "runtime/distribution/port_mapper.hpp"
#include <poll.h>
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

namespace roost::detail {
namespace {

using namespace epmd;

constexpr std::uint16_t usual_port = 4369;
// A list of more names than a host has nodes.
constexpr std::size_t longest_names_answer = 1 << 20;

/// Waits for the socket; answers false once the deadline has passed.
bool wait_for(const unique_fd& socket, short events, clock::time_point deadline) {
  for (;;) {
    auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - clock::now()).count();
    pollfd waiting{socket.get(), events, 0};
    if (left <= 0) return false;
    constexpr long long longest = 1 << 30;
    int ready = ::poll(&waiting, 1, static_cast<int>(std::min<long long>(left, longest)));
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return false;
  }
}

/// One question to a port mapper at one of its addresses. Each step answers 0 or an error number.
class question {
 public:
  question(std::string request, std::size_t longest_answer)
      : request_(std::move(request)), longest_(longest_answer) {}

  /// `is_whole` says whether no more of an answer has to be waited for.
  template <class F>
  int ask(const socket_address& at, clock::time_point deadline, F is_whole) {
    answer_.clear();
    int error = 0;
    socket_ = start_connect(at, error);
    if (error != 0) return error;
    if (!wait_for(socket_, POLLOUT, deadline)) return ETIMEDOUT;
    if ((error = connect_error(socket_)) != 0) return error;
    if ((error = send_all(deadline)) != 0) return error;
    while (!is_whole(answer_)) {
      auto before = answer_.size();
      if ((error = receive_some(deadline)) != 0) return error;
      if (answer_.size() == before) return 0;
    }
    return 0;
  }

  const std::string& answer() const { return answer_; }

 private:
  int send_all(clock::time_point deadline) {
    std::string_view rest = request_;
    while (!rest.empty()) {
      auto sent = ::send(socket_.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
      if (sent >= 0)
        rest.remove_prefix(static_cast<std::size_t>(sent));
      else if (errno != EAGAIN && errno != EINTR)
        return errno;
      else if (!wait_for(socket_, POLLOUT, deadline))
        return ETIMEDOUT;
    }
    return 0;
  }

  /// Receives nothing at the end of the connection.
  int receive_some(clock::time_point deadline) {
    char block[4096];
    for (;;) {
      if (!wait_for(socket_, POLLIN, deadline)) return ETIMEDOUT;
      auto size = ::recv(socket_.get(), block, sizeof block, 0);
      if (size >= 0) {
        answer_.append(block, static_cast<std::size_t>(size));
        return answer_.size() > longest_ ? EMSGSIZE : 0;
      }
      if (errno != EAGAIN && errno != EINTR) return errno;
    }
  }

  std::string request_;
  std::size_t longest_;
  unique_fd socket_;
  std::string answer_;
};

[[noreturn]] void throw_unreachable(
    const std::string& host, std::uint16_t port, const std::string& why) {
  throw std::runtime_error(
      "expected the port mapper at " + host + ":" + std::to_string(port) + " to answer, got \"" +
      why + '"');
}

/// Asks one address of the host after the other until one has answered.
template <class F>
std::string ask(
    const std::string& host, std::uint16_t port, question question, clock::time_point deadline,
    F is_whole) {
  auto addresses = resolve(host, port, deadline);
  int error = EADDRNOTAVAIL;
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    // An address that is silent leaves time for the next.
    auto left = static_cast<int>(addresses.size() - i);
    auto until = clock::now() + (deadline - clock::now()) / left;
    error = question.ask(addresses[i], until, is_whole);
    if (error == 0) return question.answer();
  }
  throw_unreachable(host, port, error_text(error));
}

}  // namespace

std::uint16_t epmd_port_or_default(std::uint16_t port) {
  if (port != 0) return port;
  const char* text = std::getenv("ERL_EPMD_PORT");
  if (text == nullptr || *text == '\0') return usual_port;
  const char* end = text + std::strlen(text);
  auto [last, error] = std::from_chars(text, end, port);
  if (error == std::errc() && last == end && port != 0) return port;
  throw std::runtime_error(
      "expected the environment's ERL_EPMD_PORT to be 1–65535, got " + std::string(text));
}

std::optional<port_entry> epmd_lookup(
    const std::string& host, std::uint16_t epmd_port, std::string_view short_name,
    std::chrono::milliseconds timeout) {
  auto port = epmd_port_or_default(epmd_port);
  // No port mapper would take it, and Erlang's hangs up on some such names.
  if (!is_name(short_name)) return std::nullopt;
  std::optional<port_entry> found;
  auto state = progress::incomplete;
  ask(host, port, question(encode_lookup(short_name), longest_lookup_answer),
      clock::now() + timeout, [&](const std::string& bytes) {
        state = decode_lookup_answer(bytes, found);
        return state != progress::incomplete;
      });
  if (state != progress::complete || (found && found->name != short_name))
    throw_unreachable(host, port, "another answer than EPMD's");
  return found;
}

std::vector<port_entry> epmd_names(
    const std::string& host, std::uint16_t epmd_port, std::chrono::milliseconds timeout) {
  auto port = epmd_port_or_default(epmd_port);
  auto answer =
      ask(host, port, question(encode_names(), longest_names_answer), clock::now() + timeout,
          [](const std::string&) { return false; });
  std::vector<port_entry> entries;
  if (decode_names_answer(answer, entries) != progress::complete)
    throw_unreachable(host, port, "another answer than EPMD's");
  return entries;
}

}  // namespace roost::detail
