// Heart: what it decides, and what it does for a real node.
#include "supervision/release/heart.hpp"
#include "supervision/release/exit_codes.hpp"
#include "tests/supervision/program.hpp"
#include <signal.h>

using namespace roost::test;
using namespace roost::detail;

TEST_CASE("the first restart is at once, each further one waits twice as long, up to a limit") {
  restart_backoff backoff{{.first_delay = 100ms, .longest_delay = 350ms, .stable_after = 10s}};
  for (auto expected : {0ms, 100ms, 200ms, 350ms, 350ms})
    CHECK(backoff.after_death(true, 1s) == expected);
  CHECK(backoff.after_death(true, 10s) == 0ms);  // it had settled
  CHECK(backoff.after_death(true, 1s) == 100ms);
  CHECK(backoff.crashes() == 7);
}

TEST_CASE("only nodes that were never ready count towards giving up, and only in a row") {
  restart_backoff backoff{{.max_boot_crashes = 3}};
  CHECK(backoff.after_death(false, 1s));
  CHECK(backoff.after_death(false, 1s));
  CHECK(backoff.after_death(true, 1s));
  CHECK(backoff.after_death(false, 1s));
  CHECK(backoff.after_death(false, 1h));
  CHECK_FALSE(backoff.after_death(false, 1s));
  CHECK(backoff.boot_crashes() == 3);
}

TEST_CASE("heart's numbers come from its section, and the time-out from the variable as well") {
  auto none = [](const char*) -> const char* { return nullptr; };
  auto plain = read_heart_options(roost::config(), none);
  CHECK(plain.beat_timeout == 60s);
  CHECK(plain.backoff.max_boot_crashes == 5);
  auto text = "heart: {beat_timeout: 5s, max_boot_crashes: 2, first_delay: 1s, longest_delay: 2s}";
  auto conf = roost::config::from_text(text, "x.yaml");
  auto given = read_heart_options(conf, none);
  CHECK(given.beat_timeout == 5s);
  CHECK(given.backoff.max_boot_crashes == 2);
  CHECK(given.backoff.longest_delay == 2s);
  CHECK(read_heart_options(conf, [](const char*) { return "30"; }).beat_timeout == 30s);
  for (auto* wrong : {"10", "65536", "soon", "30s"})
    CHECK_THROWS_AS(
        read_heart_options(conf, [=](const char*) { return wrong; }), roost::config_error);
  CHECK_THROWS_AS(
      read_heart_options(roost::config::from_text("heart: {beat_timeout: 10ms}", "x"), none),
      roost::config_error);
}

TEST_CASE("an end has words, and a core dump a place") {
  CHECK(describe_end(SIGSEGV) == "signal 11 (SIGSEGV)");
  CHECK(describe_end(3 << 8) == "exit code 3");
  CHECK(describe_core("core", false, 7, "/srv") == "none; `ulimit -c unlimited` allows them");
  CHECK(describe_core("core", true, 7, "/srv") == "/srv/core");
  CHECK(describe_core("/var/cores/core.%p", true, 7, "/srv") == "/var/cores/core.7");
  CHECK(
      describe_core("|/lib/systemd/systemd-coredump %P %u", true, 7, "/") == "coredumpctl info 7");
  CHECK(describe_core("|/usr/bin/collect %P", true, 7, "/") == "piped to /usr/bin/collect");
}

namespace {

struct under_heart : installation {
  arguments start(arguments more = {}) const {
    more.push_back("--heart");
    return installation::start(std::move(more));
  }

  /// The node's process, once it serves; not `before`.
  pid_t serving(pid_t before = 0) const {
    pid_t found = 0;
    eventually([&] {
      finished ask{command("pid")};
      found = ask.code == 0 ? std::stoi(ask.text) : 0;
      return found != 0 && found != before;
    });
    return found;
  }
};

}  // namespace

TEST_CASE_FIXTURE(under_heart, "a node that is killed serves again within two seconds") {
  program heart{start()};
  REQUIRE(heart.says("started application=sample"));
  auto first = serving();
  REQUIRE(first != heart.id());
  auto killed = std::chrono::steady_clock::now();
  ::kill(first, SIGKILL);
  auto second = serving(first);
  CHECK(second != first);
  CHECK(std::chrono::steady_clock::now() - killed < 5 * 2s);  // the machine may be busy
  CHECK(heart.says("reason: signal 9 (SIGKILL)"));
  CHECK(heart.says("started again by heart crashes=1"));
  heart.signal(SIGTERM);
  CHECK(heart.exit_code() == exit_code::in_order);
}

TEST_CASE_FIXTURE(under_heart, "SIGTERM to heart stops the node in order") {
  program heart{start()};
  REQUIRE(heart.says("started application=sample"));
  heart.signal(SIGTERM);
  CHECK(heart.exit_code() == exit_code::in_order);
  CHECK(heart.order() == arguments{"start a", "start b", "start c", "stop c", "stop b", "stop a"});
}

TEST_CASE_FIXTURE(under_heart, "a node that is told to stop by command ends its heart as well") {
  program heart{start()};
  REQUIRE(heart.says("started application=sample"));
  CHECK(finished{command("stop")}.code == exit_code::in_order);
  CHECK(heart.exit_code() == exit_code::in_order);
}

TEST_CASE_FIXTURE(
    under_heart, "a node that dies at boot in a loop is given up with a clear message") {
  finished run{start(
      {"--set", "sample.extra=broken", "--set", "heart.max_boot_crashes=3", "--set",
       "heart.first_delay=1ms"})};
  CHECK(run.code == exit_code::given_up);
  CHECK(run.says("heart gives up: the node died 3 times in a row before it was ready"));
  CHECK(run.says("reason: exit code 1"));
}

TEST_CASE_FIXTURE(under_heart, "wrong usage and a node that runs already are no crashes") {
  finished wrong{start({"--set", "sample.start=many"})};
  CHECK(wrong.code == exit_code::wrong_usage);
  program first{installation::start()};
  REQUIRE(first.says("started application=sample"));
  CHECK(finished{start()}.code == exit_code::running);
}

TEST_CASE_FIXTURE(under_heart, "a node that hangs is killed when its beats have stopped") {
  program heart{start({"--set", "heart.beat_timeout=1s"})};
  REQUIRE(heart.says("started application=sample"));
  auto first = serving();
  ::kill(first, SIGSTOP);
  CHECK(heart.says("the node's heartbeats have stopped, killing it"));
  CHECK(serving(first) != first);
  heart.signal(SIGTERM);
  CHECK(heart.exit_code() == exit_code::in_order);
}

TEST_CASE_FIXTURE(under_heart, "a node that says itself that it is not well is killed") {
  ::setenv("SAMPLE_SICK", "1", 1);
  program heart{start({"--set", "heart.beat_timeout=1s"})};
  ::unsetenv("SAMPLE_SICK");
  CHECK(heart.says("the node's heartbeats have stopped, killing it"));
  CHECK(heart.says("reason: signal 6 (SIGABRT)"));
}

TEST_CASE_FIXTURE(under_heart, "a daemon whose heart gives up says so where it was called") {
  finished run{command(
      "daemon", {"--heart", "--set", "sample.extra=broken", "--set", "heart.max_boot_crashes=2"})};
  CHECK(run.code == exit_code::given_up);
  CHECK(run.says("heart gives up"));
}

TEST_CASE_FIXTURE(under_heart, "a node that restarts keeps its process and its heart") {
  program heart{start({"--set", "heart.beat_timeout=1s"})};
  REQUIRE(heart.says("started application=sample"));
  auto node = serving();
  CHECK(finished{command("restart")}.code == exit_code::in_order);
  CHECK(serving() == node);
  // The line to heart still works: a node whose beats were lost would be killed by then.
  ::kill(node, SIGKILL);
  CHECK(serving(node) != node);
  heart.signal(SIGTERM);
  CHECK(heart.exit_code() == exit_code::in_order);
}

TEST_CASE_FIXTURE(under_heart, "when heart is killed the node stops in order") {
  program heart{start()};
  REQUIRE(heart.says("started application=sample"));
  heart.signal(SIGKILL);
  CHECK(heart.says("stop a"));
}

TEST_CASE_FIXTURE(under_heart, "a daemon may have a heart") {
  REQUIRE(finished{command("daemon", {"--heart"})}.code == exit_code::in_order);
  auto first = serving();
  ::kill(first, SIGKILL);
  CHECK(serving(first) != first);
  CHECK(finished{command("stop")}.code == exit_code::in_order);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST_CASE_FIXTURE(under_heart, "a dying node leaves a backtrace that addr2line can read") {
  program run{start({"--set", "sample.extra=segfault", "--set", "heart.first_delay=1m"})};
  CHECK(run.says("reason: signal 11 (SIGSEGV)"));
  CHECK(run.says("backtrace: " + place(".crash")));
  std::ostringstream report;
  report << std::ifstream(place(".crash")).rdbuf();
  CHECK(report.str().starts_with("signal 11 (SIGSEGV)"));
  CHECK(report.str().find("sample_application+0x") != std::string::npos);
  CHECK(report.str().find("build id of") != std::string::npos);
}

TEST_CASE_FIXTURE(under_heart, "a stack that overflows in a handler leaves a backtrace as well") {
  program run{start({"--set", "sample.extra=overflow", "--set", "heart.first_delay=1m"})};
  CHECK(run.says("reason: signal 11 (SIGSEGV)"));
  std::ostringstream report;
  report << std::ifstream(place(".crash")).rdbuf();
  CHECK(report.str().starts_with("signal 11 (SIGSEGV) at address 0x"));
}
#endif
