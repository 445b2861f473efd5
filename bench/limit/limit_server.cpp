// limit_server PORT [coalesce]: what a machine can do at best. One thread around epoll that speaks
// just enough WebSocket and Phoenix for the benchmarks: join, echo, shout. No processes, no
// supervision, no limits, no checks, and nothing that a real server may leave out.
//
// Replies and broadcasts are sent one by one, or, with `coalesce`, those of one turn of the loop to
// one client together.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace {

using std::string;
using std::string_view;

struct connection {
  int fd;
  bool upgraded = false;
  bool pending = false;  // has output that this turn has not sent
  bool blocked = false;  // … and that its socket did not take
  string topic = {};     // in quotes, as it came
  string input = {};     // the beginning of a message
  string output = {};
};

bool coalesces = false;
int epoll_fd;
char buffer[256 * 1024];
std::unordered_map<string, std::vector<connection*>> topics;
std::vector<connection*> pending;

void append_frame(string& out, string_view payload) {
  out += '\x81';
  if (payload.size() < 126) {
    out += static_cast<char>(payload.size());
  } else {
    out += '\x7e';
    out += static_cast<char>(payload.size() >> 8);
    out += static_cast<char>(payload.size());
  }
  out += payload;
}

// --- writing -------------------------------------------------------------------------------------

void watch(connection& client, bool writing) {
  client.blocked = writing;
  epoll_event event{};
  event.events = writing ? EPOLLIN | EPOLLOUT : EPOLLIN;
  event.data.ptr = &client;
  ::epoll_ctl(epoll_fd, EPOLL_CTL_MOD, client.fd, &event);
}

void flush(connection& client) {
  client.pending = false;
  auto sent = ::send(client.fd, client.output.data(), client.output.size(), MSG_NOSIGNAL);
  if (sent > 0) client.output.erase(0, static_cast<std::size_t>(sent));
  if (client.output.capacity() > 4096 && client.output.empty()) client.output = {};
  if (client.output.empty() == client.blocked) watch(client, !client.blocked);
}

void send(connection& client, string_view bytes) {
  if (coalesces || client.blocked) {
    client.output += bytes;
    if (client.blocked || std::exchange(client.pending, true)) return;
    pending.push_back(&client);
    return;
  }
  auto sent = ::send(client.fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  if (sent == static_cast<ssize_t>(bytes.size())) return;
  client.output = bytes.substr(sent < 0 ? 0 : static_cast<std::size_t>(sent));
  watch(client, true);
}

// --- messages ------------------------------------------------------------------------------------

/// The next element of the array, as it stands there.
string_view take(string_view& rest) {
  auto end = rest.front() == '"' ? rest.find('"', 1) + 1 : rest.find(',');
  auto field = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return field;
}

void reply(
    connection& client, string_view join_ref, string_view ref, string_view topic,
    string_view response) {
  static string text, frame;
  text = "[";
  for (auto field : {join_ref, ref, topic}) (text += field) += ',';
  ((text += R"("phx_reply",{"status":"ok","response":)") += response) += "}]";
  frame.clear();
  append_frame(frame, text);
  send(client, frame);
}

void handle(connection& client, string_view message) {
  auto rest = message.substr(1, message.size() - 2);
  auto join_ref = take(rest), ref = take(rest), topic = take(rest), event = take(rest);
  if (event == "\"phx_join\"") {
    client.topic = topic;
    topics[client.topic].push_back(&client);
    reply(client, join_ref, ref, topic, "{}");
  } else if (event == "\"shout\"") {
    static string text, frame;
    text = "[null,null,";
    for (auto field : {topic, event}) (text += field) += ',';
    (text += rest) += ']';
    frame.clear();
    append_frame(frame, text);
    for (auto* member : topics[client.topic]) send(*member, frame);
  } else {
    reply(client, join_ref, ref, topic, event == "\"heartbeat\"" ? "{}" : rest);
  }
}

// --- reading -------------------------------------------------------------------------------------

void close(connection* client) {
  auto& members = topics[client->topic];
  std::erase(members, client);
  std::erase(pending, client);
  ::close(client->fd);
  delete client;
}

/// Answers how many bytes were whole frames, or -1 when the client has said goodbye.
long handle_frames(connection& client, char* bytes, std::size_t size) {
  std::size_t done = 0;
  while (size - done >= 6) {
    auto* frame = reinterpret_cast<unsigned char*>(bytes + done);
    std::size_t header = 6, length = frame[1] & 0x7f;
    if (length == 126) {
      header = 8;
      length = static_cast<std::size_t>(frame[2] << 8 | frame[3]);
    }
    if (size - done < header + length) break;
    if ((frame[0] & 15) == 8) return -1;
    auto* payload = bytes + done + header;
    std::uint64_t mask = 0;
    std::memcpy(&mask, payload - 4, 4);
    mask |= mask << 32;
    std::size_t i = 0;
    for (; i + 8 <= length; i += 8) {
      std::uint64_t word;
      std::memcpy(&word, payload + i, 8);
      word ^= mask;
      std::memcpy(payload + i, &word, 8);
    }
    for (; i < length; ++i) payload[i] ^= static_cast<char>(mask >> (i % 8 * 8));
    handle(client, {payload, length});
    done += header + length;
  }
  return static_cast<long>(done);
}

void upgrade(connection& client, string_view request) {
  auto begin = request.find("Sec-WebSocket-Key: ") + 19;
  string key(request.substr(begin, request.find('\r', begin) - begin));
  key += "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  std::array<unsigned char, SHA_DIGEST_LENGTH> digest;
  ::SHA1(reinterpret_cast<unsigned char*>(key.data()), key.size(), digest.data());
  std::array<unsigned char, 32> accept;
  ::EVP_EncodeBlock(accept.data(), digest.data(), SHA_DIGEST_LENGTH);
  client.upgraded = true;
  send(
      client,
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Accept: " +
          string(reinterpret_cast<char*>(accept.data())) + "\r\n\r\n");
}

void read(connection* client) {
  auto kept = client->input.size();
  std::memcpy(buffer, client->input.data(), kept);
  auto got = ::recv(client->fd, buffer + kept, sizeof buffer - kept, 0);
  if (got < 0 && errno == EAGAIN) return;
  if (got <= 0) return close(client);
  auto size = kept + static_cast<std::size_t>(got);
  if (!client->upgraded) return upgrade(*client, {buffer, size});
  auto done = handle_frames(*client, buffer, size);
  if (done < 0) return close(client);
  client->input.assign(buffer + done, size - static_cast<std::size_t>(done));
}

void accept_all(int listener) {
  int fd;
  while ((fd = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
    int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = new connection{fd};
    ::epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
  }
}

int listen_on(int port) {
  auto fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(fd, 4096) != 0) {
    std::perror("limit_server");
    std::exit(1);
  }
  return fd;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fputs("usage: limit_server PORT [coalesce]\n", stderr);
    return 2;
  }
  coalesces = argc > 2 && string_view(argv[2]) == "coalesce";
  epoll_fd = ::epoll_create1(0);
  auto listener = listen_on(std::atoi(argv[1]));
  epoll_event event{};
  event.events = EPOLLIN;
  ::epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event);
  static std::array<epoll_event, 512> events;
  for (;;) {
    auto count = ::epoll_wait(epoll_fd, events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < count; ++i) {
      auto* client = static_cast<connection*>(events[static_cast<std::size_t>(i)].data.ptr);
      auto what = events[static_cast<std::size_t>(i)].events;
      if (client == nullptr) {
        accept_all(listener);
        continue;
      }
      if ((what & EPOLLOUT) != 0) flush(*client);
      if ((what & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) read(client);
    }
    for (auto* client : pending) flush(*client);
    pending.clear();
  }
}
