// systemd's side of the protocol is played by the test.
#include "supervision/release/sd_notify.hpp"
#include "tests/supervision/program.hpp"
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <cstring>
#include <map>

using namespace roost::test;
using namespace roost::detail;

namespace {

/// The socket that NOTIFY_SOCKET names.
class fake_systemd {
 public:
  explicit fake_systemd(const std::string& path) : descriptor_(::socket(AF_UNIX, SOCK_DGRAM, 0)) {
    sockaddr_un where{};
    where.sun_family = AF_UNIX;
    std::memcpy(where.sun_path, path.data(), path.size());
    if (path[0] == '@') where.sun_path[0] = '\0';
    auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
    REQUIRE(::bind(descriptor_, reinterpret_cast<sockaddr*>(&where), size) == 0);
    ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
  }
  ~fake_systemd() {
    ::close(descriptor_);
    for (auto* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) ::unsetenv(name);
  }

  /// The next datagram; empty after ten seconds.
  std::string next() {
    pollfd waiting{descriptor_, POLLIN, 0};
    if (::poll(&waiting, 1, 10'000) <= 0) return "";
    char text[512];
    auto size = ::recv(descriptor_, text, sizeof text, 0);
    return std::string(text, size > 0 ? static_cast<std::size_t>(size) : 0);
  }

  /// Reads until something else comes.
  std::string next_but(const std::string& skipped) {
    auto text = next();
    while (text == skipped) text = next();
    return text;
  }

 private:
  int descriptor_;
};

}  // namespace

TEST_CASE("without systemd nothing is sent, and a wrong address is nobody's trouble") {
  ::unsetenv("NOTIFY_SOCKET");
  CHECK_FALSE(sd_notify("READY=1"));
  for (auto& name :
       {std::string(), std::string("@"), std::string("relative"), std::string("/nowhere"),
        std::string(200, 'x')}) {
    ::setenv("NOTIFY_SOCKET", name.c_str(), 1);
    CHECK_FALSE(sd_notify("READY=1"));
  }
  ::unsetenv("NOTIFY_SOCKET");
}

TEST_CASE("an abstract address works too") {
  fake_systemd systemd("@roost_sd_notify_test_" + std::to_string(::getpid()));
  CHECK(sd_notify("READY=1"));
  CHECK(systemd.next() == "READY=1");
}

TEST_CASE("the watchdog waits for the process that it names, or for any") {
  std::map<std::string, std::string> variables;
  auto variable = [&](const char* name) -> const char* {
    auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  };
  CHECK_FALSE(watchdog_limit(variable, 7));
  variables["WATCHDOG_USEC"] = "2000000";
  CHECK(watchdog_limit(variable, 7) == 2s);
  variables["WATCHDOG_PID"] = "7";
  CHECK(watchdog_limit(variable, 7) == 2s);
  CHECK_FALSE(watchdog_limit(variable, 8));
  for (auto* wrong : {"0", "-5", "soon", ""}) {
    variables["WATCHDOG_USEC"] = wrong;
    CHECK_FALSE(watchdog_limit(variable, 7));
  }
}

TEST_CASE_FIXTURE(installation, "a node tells systemd that it is ready, reloading, stopping") {
  fake_systemd systemd((directory / "notify").string());
  program run{start()};
  CHECK(systemd.next() == "READY=1");
  CHECK(finished{command("restart")}.code == 0);
  CHECK(systemd.next().starts_with("RELOADING=1\nMONOTONIC_USEC="));
  CHECK(systemd.next() == "READY=1");
  run.signal(SIGTERM);
  CHECK(systemd.next() == "STOPPING=1");
  CHECK(run.exit_code() == 0);
}

TEST_CASE_FIXTURE(installation, "a node that does not start is never ready") {
  fake_systemd systemd((directory / "notify").string());
  CHECK(finished{start({"--set", "sample.extra=broken"})}.code == 1);
  CHECK(systemd.next() == "STOPPING=1");
}

TEST_CASE_FIXTURE(installation, "the watchdog gets a sign of life again and again") {
  fake_systemd systemd((directory / "notify").string());
  ::setenv("WATCHDOG_USEC", "20000", 1);
  program run{start()};
  CHECK(systemd.next_but("WATCHDOG=1") == "READY=1");
  for (int i = 0; i < 3; ++i) CHECK(systemd.next() == "WATCHDOG=1");
  run.signal(SIGTERM);
  CHECK(systemd.next_but("WATCHDOG=1") == "STOPPING=1");
  CHECK(run.exit_code() == 0);
}
