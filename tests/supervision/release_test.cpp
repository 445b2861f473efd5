// The commands of a program, on real nodes.
#include "supervision/release/exit_codes.hpp"
#include "tests/supervision/program.hpp"
#include <signal.h>
#include <sys/stat.h>

using namespace roost::test;
namespace exit_code = roost::detail::exit_code;

TEST_CASE_FIXTURE(
    installation, "a daemon is there when the command returns, and gone when stop does") {
  finished daemon{command("daemon")};
  REQUIRE(daemon.code == exit_code::in_order);
  auto node = pid_in_file();
  CHECK(daemon.says("started, process " + std::to_string(node)));
  CHECK(::getsid(node) != ::getsid(0));

  CHECK(finished{command("ping")}.text == "pong\n");
  CHECK(finished{command("pid")}.text == std::to_string(node) + "\n");

  finished stop{command("stop")};
  CHECK(stop.code == exit_code::in_order);
  CHECK(eventually([&] { return !runs(node); }));
  CHECK_FALSE(fs::exists(place(".pid")));
  CHECK_FALSE(fs::exists(place(".sock")));
  std::ostringstream log;
  log << std::ifstream(directory / "tmp" / "log" / "sample.log").rdbuf();
  CHECK(log.str().find("stopping application=sample command=stop") != std::string::npos);
}

TEST_CASE_FIXTURE(
    installation, "without a node, ping says pang and the others say where they looked") {
  finished ping{command("ping")};
  CHECK(ping.code == exit_code::failed);
  CHECK(ping.text == "pang\n");
  for (auto* name : {"stop", "restart", "pid"}) {
    CAPTURE(name);
    finished run{command(name)};
    CHECK(run.code == exit_code::failed);
    CHECK(run.says("expected a running node at " + place(".sock") + ", got nobody"));
  }
}

TEST_CASE_FIXTURE(installation, "restart stops in order and starts again in the same process") {
  program run{start()};
  REQUIRE(run.says("started application=sample"));
  auto before = run.id();
  finished restart{command("restart")};
  CHECK(restart.code == exit_code::in_order);
  CHECK(run.says("starting again"));
  CHECK(finished{command("pid")}.text == std::to_string(before) + "\n");
  run.signal(SIGTERM);
  CHECK(run.exit_code() == exit_code::in_order);
  arguments once{"start a", "start b", "start c", "stop c", "stop b", "stop a"};
  auto twice = once;
  twice.insert(twice.end(), once.begin(), once.end());
  CHECK(run.order() == twice);
}

TEST_CASE_FIXTURE(
    installation, "a second node of the same name is refused, one of another name is not") {
  program first{start()};
  REQUIRE(first.says("started application=sample"));
  finished second{start()};
  CHECK(second.code == exit_code::running);
  CHECK(second.says(
      "expected no other node of this name to run, got process " + std::to_string(first.id())));
  program other{start({"--name", "other@127.0.0.1"})};
  REQUIRE(other.says("started application=sample"));
  CHECK(
      finished{command("pid", {"--name", "other@127.0.0.1"})}.text ==
      std::to_string(other.id()) + "\n");
  CHECK(finished{command("stop")}.code == exit_code::in_order);
  CHECK(first.exit_code() == exit_code::in_order);
  CHECK(finished{command("ping", {"--name", "other@127.0.0.1"})}.text == "pong\n");
}

TEST_CASE_FIXTURE(installation, "what a killed node leaves behind is replaced") {
  {
    program killed{start()};
    REQUIRE(killed.says("started application=sample"));
    killed.signal(SIGKILL);
    CHECK(killed.exit_code() == -SIGKILL);
  }
  REQUIRE(fs::exists(place(".pid")));
  REQUIRE(fs::exists(place(".sock")));
  CHECK(finished{command("ping")}.text == "pang\n");
  // A number that now belongs to somebody else must not count either.
  std::ofstream(place(".pid")) << ::getpid() << "\n";
  program next{start()};
  REQUIRE(next.says("started application=sample"));
  CHECK(pid_in_file() == next.id());
  CHECK(finished{command("stop")}.code == exit_code::in_order);
}

TEST_CASE_FIXTURE(installation, "only the node's user may open its control socket") {
  ::umask(0);
  program run{start()};
  REQUIRE(run.says("started application=sample"));
  struct stat info {};
  REQUIRE(::stat(place(".sock").c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
  REQUIRE(::stat((directory / "tmp").c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0700);
}

TEST_CASE_FIXTURE(
    installation, "a place that cannot hold the node's files is refused with a sentence") {
  std::ofstream(directory / "tmp") << "not a directory";
  finished run{start()};
  CHECK(run.code == exit_code::wrong_usage);
  CHECK(run.says("expected " + (directory / "tmp").string() + " to be a directory"));
}

TEST_CASE_FIXTURE(installation, "a daemon that does not start says why, where it was called") {
  finished broken{command("daemon", {"--set", "sample.extra=broken"})};
  CHECK(broken.code == exit_code::failed);
  CHECK(broken.says("no paper"));
  CHECK(broken.says("expected the node to start, got exit code 1"));
  finished wrong{command("daemon", {"--set", "sample.start=many"})};
  CHECK(wrong.code == exit_code::wrong_usage);
  CHECK(wrong.says("expected sample.start to be 0–100, got many"));
}

TEST_CASE_FIXTURE(installation, "a daemon logs to the file of its configuration, if there is one") {
  auto log = (directory / "own.log").string();
  REQUIRE(finished{command("daemon", {"--set", "logger.file=" + log})}.code == 0);
  CHECK(finished{command("stop")}.code == exit_code::in_order);
  CHECK(fs::file_size(log) > 0);
  CHECK_FALSE(fs::exists(directory / "tmp" / "log" / "sample.log"));
}

TEST_CASE_FIXTURE(
    installation, "stop tells when the node was killed before it had stopped in order") {
  program run{start({"--set", "sample.extra=deaf", "--set", "node.shutdown_timeout=20ms"})};
  REQUIRE(run.says("started application=sample"));
  finished stop{command("stop")};
  CHECK(stop.code == exit_code::cut_short);
  CHECK(run.exit_code() == exit_code::cut_short);
}

TEST_CASE_FIXTURE(installation, "commands need none of the variables that the node needs") {
  configure("sample:\n  start: 1\n");
  program run{start()};
  REQUIRE(run.says("started application=sample"));
  configure("sample:\n  start: ${ROOST_TEST_ABSENT}\n");
  CHECK(finished{command("ping")}.text == "pong\n");
}

TEST_CASE_FIXTURE(installation, "the environment names the node") {
  ::setenv("RELEASE_NODE", "env@127.0.0.1", 1);
  CHECK(finished{start({"--set", "sample.extra=broken"})}.says("node env@127.0.0.1\n"));
  ::setenv("RELEASE_DISTRIBUTION", "none", 1);
  CHECK(finished{start({"--set", "sample.extra=broken"})}.says("node nonode@nohost\n"));
  ::setenv("RELEASE_DISTRIBUTION", "long", 1);
  finished wrong{start()};
  CHECK(wrong.code == exit_code::wrong_usage);
  CHECK(wrong.says("expected RELEASE_DISTRIBUTION to be none, sname or name, got long"));
  ::unsetenv("RELEASE_DISTRIBUTION");
  ::unsetenv("RELEASE_NODE");
}
