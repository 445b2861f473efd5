#include "supervision/release/control_socket.hpp"
#include "tests/support.hpp"
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <cstring>
#include <filesystem>

using namespace roost::test;
using namespace roost::detail;
namespace fs = std::filesystem;

namespace {

struct served {
  served() {
    auto name = (fs::temp_directory_path() / "roost_control_XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    directory = name;
    path = (directory / "node.sock").string();
    serve();
  }
  ~served() {
    server.reset();
    fs::remove_all(directory);
  }

  void serve() {
    server.emplace(
        path,
        std::map<std::string, control_command>{
            {"echo", [](auto& words) { return control_reply{words.empty() ? "" : words.front()}; }},
            {"refuse", [](auto&) { return control_reply{.text = "no", .failed = true}; }},
            {"fail", [](auto&) -> control_reply { throw std::runtime_error("broken"); }},
            {"wait", [](auto&) { return control_reply{.waits_for_end = true}; }}});
  }

  fs::path directory;
  std::string path;
  std::optional<control_server> server;
};

/// Bytes straight to the socket.
class raw_client {
 public:
  explicit raw_client(const std::string& path) : descriptor_(::socket(AF_UNIX, SOCK_STREAM, 0)) {
    sockaddr_un where{};
    where.sun_family = AF_UNIX;
    std::strncpy(where.sun_path, path.c_str(), sizeof where.sun_path - 1);
    REQUIRE(::connect(descriptor_, reinterpret_cast<sockaddr*>(&where), sizeof where) == 0);
  }
  ~raw_client() { ::close(descriptor_); }

  void send(std::string_view bytes) {
    [[maybe_unused]] auto sent = ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }
  std::string read_all() {
    std::string all;
    char block[256];
    for (ssize_t size = 0; (size = ::recv(descriptor_, block, sizeof block, 0)) > 0;)
      all.append(block, static_cast<std::size_t>(size));
    return all;
  }

 private:
  int descriptor_;
};

}  // namespace

TEST_CASE_FIXTURE(served, "a command is answered on one line") {
  CHECK(control_client(path).ask("echo hello", 5s) == "ok hello");
  CHECK(control_client(path).ask("echo", 5s) == "ok ");
  CHECK(control_client(path).ask("refuse", 5s) == "error no");
  CHECK(control_client(path).ask("fail", 5s) == "error broken");
  CHECK(
      control_client(path).ask("sing", 5s) ==
      "error expected a command that this node knows, got sing");
}

TEST_CASE_FIXTURE(served, "who waits for the end hears of it, and the connection ends after that") {
  control_client client(path);
  CHECK(client.ask("wait", 5s) == "ok ");
  server->finish(3);
  CHECK(client.read_line(5s) == "ended 3");
  CHECK_FALSE(client.read_line(1ms).has_value());
  CHECK_FALSE(fs::exists(path));
  server.reset();
  CHECK(client.wait_for_end(5s));
}

TEST_CASE_FIXTURE(served, "nobody there is an error that says where") {
  server.reset();
  CHECK_THROWS_WITH_AS(
      control_client{path}, ("expected a running node at " + path + ", got nobody").c_str(),
      nobody_there);
}

TEST_CASE_FIXTURE(served, "a socket that was left behind is replaced") {
  auto left = path + ".left";
  fs::create_hard_link(path, left);
  server.reset();
  fs::rename(left, path);
  CHECK_THROWS_AS(control_client{path}, nobody_there);
  serve();
  CHECK(control_client(path).ask("echo again", 5s) == "ok again");
}

TEST_CASE_FIXTURE(served, "strange clients cost nobody else anything") {
  raw_client silent(path);
  raw_client endless(path);
  endless.send(std::string(100'000, 'x'));
  CHECK(endless.read_all().starts_with("error expected a line of at most 4096 bytes"));
  raw_client binary(path);
  binary.send(std::string_view("\0\xff\n", 3));
  CHECK(binary.read_all().starts_with("error "));
  { raw_client gone(path); }
  raw_client piecemeal(path);
  piecemeal.send("ec");
  piecemeal.send("ho slow");
  CHECK(control_client(path).ask("echo fine", 5s) == "ok fine");
  piecemeal.send("ly\n");
  CHECK(piecemeal.read_all() == "ok slowly\n");
}

TEST_CASE_FIXTURE(served, "more clients than are let in wait in line") {
  std::vector<std::unique_ptr<raw_client>> crowd;
  for (int i = 0; i < 70; ++i) crowd.push_back(std::make_unique<raw_client>(path));
  crowd.erase(crowd.begin(), crowd.begin() + 35);
  CHECK(control_client(path).ask("echo in", 5s) == "ok in");
}

TEST_CASE_FIXTURE(served, "a path that is too long for a socket's address works as well") {
  server.reset();
  auto deep = directory / std::string(100, 'd') / std::string(100, 'e');
  fs::create_directories(deep);
  path = (deep / "node.sock").string();
  serve();
  CHECK(control_client(path).ask("echo far", 5s) == "ok far");
  server->finish(0);
  CHECK_FALSE(fs::exists(path));
}
