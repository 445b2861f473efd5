// dnsmasq at a private port, with records that change while it runs, and a name server whose
// answers a test makes up.
#pragma once
#include "tests/supervision/program.hpp"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <fstream>
#include <memory>

namespace roost::test {

/// A UDP socket at a port of its own on 127.0.0.1.
class udp_socket {
 public:
  udp_socket() : descriptor_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in here{};
    here.sin_family = AF_INET;
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::bind(descriptor_, reinterpret_cast<sockaddr*>(&here), sizeof here) == 0);
    socklen_t size = sizeof here;
    REQUIRE(::getsockname(descriptor_, reinterpret_cast<sockaddr*>(&here), &size) == 0);
    port_ = ntohs(here.sin_port);
  }
  udp_socket(const udp_socket&) = delete;
  udp_socket& operator=(const udp_socket&) = delete;
  ~udp_socket() { ::close(descriptor_); }

  int descriptor() const { return descriptor_; }
  std::uint16_t port() const { return port_; }

 private:
  int descriptor_;
  std::uint16_t port_ = 0;
};

class dnsmasq {
 public:
  dnsmasq() {
    auto name = (fs::temp_directory_path() / "roost_dnsmasq_XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    directory_ = name;
    std::ofstream(directory_ / "hosts");
    // Another test may take the same free port before dnsmasq does.
    for (int i = 0; i < 10; ++i) {
      port_ = udp_socket().port();
      if (starts()) return;
    }
    FAIL("expected dnsmasq to start, got no port that it may use");
  }
  dnsmasq(const dnsmasq&) = delete;
  dnsmasq& operator=(const dnsmasq&) = delete;
  ~dnsmasq() {
    process_.reset();
    fs::remove_all(directory_);
  }

  /// `address name` each; seen soon.
  void hosts(const arguments& lines) {
    std::ofstream file(directory_ / "hosts.new");
    for (auto& line : lines) file << line << '\n';
    file.close();
    fs::rename(directory_ / "hosts.new", directory_ / "hosts");
    signal(SIGHUP);
  }

  /// `name,target,port` each. SRV records are read at the start only.
  void services(const arguments& records) {
    records_ = records;
    stop();
    start();
  }

  void signal(int number) { process_->signal(number); }
  void stop() { process_.reset(); }
  void start() {
    // The port was free a moment ago, and may be somebody's for a moment.
    REQUIRE(eventually([this] { return starts(); }));
  }

  std::string server() const { return "127.0.0.1:" + std::to_string(port_); }
  const fs::path& directory() const { return directory_; }

 private:
  bool starts() {
    arguments options{
        "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
        "--pid-file=", "--listen-address=127.0.0.1", "--bind-interfaces", "--log-facility=-",
        "--cache-size=0",
        // These are known to the last name; about others it refuses to answer.
        "--local=/test/", "--local=/cluster.local/", "--port=" + std::to_string(port_),
        "--addn-hosts=" + (directory_ / "hosts").string()};
    if (::geteuid() == 0) options.push_back("--user=root");
    for (auto& record : records_) options.push_back("--srv-host=" + record);
    process_ = std::make_unique<program>(options, "/usr/sbin/dnsmasq");
    return process_->says("started");
  }

  std::uint16_t port_ = 0;
  fs::path directory_;
  arguments records_;
  std::unique_ptr<program> process_;
};

/// Answers each question with what a function makes of it.
class odd_name_server {
 public:
  explicit odd_name_server(std::function<std::string(std::string question)> answer)
      : answer_(std::move(answer)), thread_([this] { serve(); }) {}
  ~odd_name_server() {
    stops_ = true;
    ::shutdown(socket_.descriptor(), SHUT_RDWR);
    thread_.join();
  }
  std::string server() const { return "127.0.0.1:" + std::to_string(socket_.port()); }

 private:
  void serve() {
    while (!stops_) {
      pollfd waiting{socket_.descriptor(), POLLIN, 0};
      if (::poll(&waiting, 1, 20) <= 0) continue;
      char buffer[2048];
      sockaddr_in from{};
      socklen_t size = sizeof from;
      auto received = ::recvfrom(
          socket_.descriptor(), buffer, sizeof buffer, MSG_DONTWAIT,
          reinterpret_cast<sockaddr*>(&from), &size);
      if (received <= 0) continue;
      auto answer = answer_(std::string(buffer, static_cast<std::size_t>(received)));
      ::sendto(
          socket_.descriptor(), answer.data(), answer.size(), 0, reinterpret_cast<sockaddr*>(&from),
          size);
    }
  }

  udp_socket socket_;
  std::function<std::string(std::string)> answer_;
  std::atomic<bool> stops_ = false;
  std::thread thread_;
};

/// The question back as a reply with that code and those records, each from its type on, for the
/// name that was asked for.
inline std::string reply_to(std::string question, int code, const arguments& records = {}) {
  question[2] = static_cast<char>(0x84 | (question[2] & 1));
  question[3] = static_cast<char>(0x80 | code);
  question[7] = static_cast<char>(records.size());
  question[11] = 0;  // no additional records
  for (auto& record : records) question += std::string("\xc0\x0c", 2) + record;
  return question;
}

/// The type that a question asks for: 1 is A, 28 is AAAA, 33 is SRV.
inline int type_in(const std::string& question) {
  auto end = question.find('\0', 12);
  return static_cast<unsigned char>(question[end + 2]);
}

}  // namespace roost::test
