// A blocking HTTP/1.1 client for the tests: what is sent and what comes back, byte by byte.
#pragma once
#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <cstring>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>

namespace roost::test {

struct http_answer {
  int status = 0;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
};

class http_connection {
 public:
  explicit http_connection(int port, const char* ip = "127.0.0.1") {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    ::inet_pton(AF_INET, ip, &address.sin_addr);
    connect(AF_INET, reinterpret_cast<sockaddr*>(&address), sizeof address);
  }
  explicit http_connection(const std::string& unix_path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, unix_path.c_str(), sizeof address.sun_path - 1);
    connect(AF_UNIX, reinterpret_cast<sockaddr*>(&address), sizeof address);
  }
  http_connection(const http_connection&) = delete;
  http_connection& operator=(const http_connection&) = delete;
  ~http_connection() {
    tls_.reset();
    ::close(fd_);
  }

  /// TLS without a look at the certificate, which is answered.
  std::shared_ptr<X509> start_tls() {
    static const std::shared_ptr<SSL_CTX> context(SSL_CTX_new(TLS_client_method()), SSL_CTX_free);
    tls_.reset(SSL_new(context.get()), SSL_free);
    SSL_set_fd(tls_.get(), fd_);
    if (SSL_connect(tls_.get()) != 1) throw std::runtime_error("no TLS");
    return {SSL_get1_peer_certificate(tls_.get()), X509_free};
  }

  void send(std::string_view bytes) {
    while (!bytes.empty()) {
      auto sent = tls_ ? SSL_write(tls_.get(), bytes.data(), static_cast<int>(bytes.size()))
                       : static_cast<int>(::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL));
      if (sent <= 0) throw std::runtime_error("cannot send");
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
  }

  http_answer get(const std::string& target, const std::string& headers = "") {
    return request("GET", target, "", headers);
  }
  http_answer request(
      const std::string& method, const std::string& target, const std::string& body = "",
      const std::string& headers = "") {
    send_request(method, target, body, headers);
    return answer(method == "HEAD");
  }
  void send_request(
      const std::string& method, const std::string& target, const std::string& body = "",
      const std::string& headers = "") {
    auto text = method + " " + target + " HTTP/1.1\r\nhost: localhost\r\n" + headers;
    if (!body.empty()) text += "content-length: " + std::to_string(body.size()) + "\r\n";
    send(text + "\r\n" + body);
  }

  /// The next answer; throws after 10 s, or when the connection ends first.
  http_answer answer(bool head = false) {
    http_answer answer;
    while (input_.find("\r\n\r\n") == input_.npos) receive();
    auto end = input_.find("\r\n\r\n");
    auto text = input_.substr(0, end + 2);
    input_.erase(0, end + 4);
    answer.status = std::stoi(text.substr(9, 3));
    for (auto at = text.find("\r\n") + 2; at < text.size();) {
      auto line = text.substr(at, text.find("\r\n", at) - at);
      at += line.size() + 2;
      auto colon = line.find(':');
      auto name = line.substr(0, colon);
      for (auto& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      answer.headers[name] = line.substr(line.find_first_not_of(' ', colon + 1));
    }
    auto length = answer.headers.find("content-length");
    if (head || length == answer.headers.end()) return answer;
    auto size = std::stoul(length->second);
    while (input_.size() < size) receive();
    answer.body = input_.substr(0, size);
    input_.erase(0, size);
    return answer;
  }

  /// Whether the other side ends the connection within 10 s; what it says before is dropped.
  bool ends() {
    try {
      for (;;) receive();
    } catch (const ended&) {
      return true;
    } catch (const std::exception&) {
      return false;
    }
  }

 private:
  struct ended : std::runtime_error {
    ended() : std::runtime_error("the connection has ended") {}
  };

  void connect(int family, const sockaddr* address, socklen_t size) {
    fd_ = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (::connect(fd_, address, size) != 0) throw std::runtime_error("cannot connect");
  }

  void receive() {
    pollfd poll{fd_, POLLIN, 0};
    if (!(tls_ && SSL_pending(tls_.get()) > 0) && ::poll(&poll, 1, 10'000) <= 0)
      throw std::runtime_error("nothing received within 10 s");
    char buffer[65536];
    auto count = tls_ ? SSL_read(tls_.get(), buffer, sizeof buffer)
                      : static_cast<int>(::recv(fd_, buffer, sizeof buffer, 0));
    if (count <= 0) throw ended();
    input_.append(buffer, static_cast<std::size_t>(count));
  }

  int fd_ = -1;
  std::shared_ptr<SSL> tls_;
  std::string input_;
};

}  // namespace roost::test
