// Runs sample_application, a real program, and looks at what it says and how it exits.
#include "tests/supervision/program.hpp"

using namespace roost::test;

TEST_CASE_FIXTURE(installation, "SIGTERM stops the tree in reverse order and ends with code 0") {
  program run{start()};
  REQUIRE(run.says("started application=sample node=nonode@nohost"));
  REQUIRE(run.says("counter 42"));
  run.signal(SIGTERM);
  CHECK(run.exit_code() == 0);
  CHECK(run.order() == arguments{"start a", "start b", "start c", "stop c", "stop b", "stop a"});
  CHECK(run.text.find("stopping application=sample signal=Terminated") != std::string::npos);
  CHECK(run.text.find("stopped application=sample") != std::string::npos);
}

TEST_CASE_FIXTURE(installation, "SIGINT stops it too") {
  program run{start()};
  REQUIRE(run.says("started"));
  run.signal(SIGINT);
  CHECK(run.exit_code() == 0);
  CHECK(run.order().back() == "stop a");
}

TEST_CASE_FIXTURE(installation, "a signal that comes while the tree starts is not lost") {
  program run{start()};
  REQUIRE(run.says("node "));  // the configuration has been read, nothing has started
  run.signal(SIGTERM);
  CHECK(run.exit_code() == 0);
  // It may come before the tree, which then does not start at all.
  auto order = run.order();
  bool all = order == arguments{"start a", "start b", "start c", "stop c", "stop b", "stop a"};
  CHECK((order.empty() || all));
  CHECK(run.text.find("stopped application=sample") != std::string::npos);
}

TEST_CASE_FIXTURE(installation, "a child that cannot start ends the program with code 1") {
  finished run{start({"--set", "sample.extra=broken"})};
  CHECK(run.code == 1);
  CHECK(run.says("{shutdown, {failed_to_start_child, broken, no paper}}"));
  CHECK(run.says("context: start_error"));
  CHECK(run.order == arguments{"start a", "start b", "start c", "stop c", "stop b", "stop a"});
}

TEST_CASE_FIXTURE(installation, "a tree that ends by itself ends the program with code 1") {
  finished run{start({"--set", "sample.extra=hasty"})};
  CHECK(run.code == 1);
  CHECK(run.says("in a hurry"));
  CHECK(run.says("reached_max_restart_intensity"));
  CHECK(run.says("the supervision tree has ended"));
}

TEST_CASE_FIXTURE(installation, "a tree that does not stop in time is killed, with code 3") {
  ::setenv("SAMPLE_IN_A_HURRY", "1", 1);
  program run{start({"--set", "sample.extra=deaf"})};
  ::unsetenv("SAMPLE_IN_A_HURRY");
  REQUIRE(run.says("started"));
  run.signal(SIGTERM);
  CHECK(run.exit_code() == 3);
  CHECK(run.text.find("the tree did not stop in time limit_ms=50") != std::string::npos);
  CHECK(run.text.find("busy_with=\"stopping sample\"") != std::string::npos);
  CHECK_FALSE(fs::exists(place(".pid")));
}

TEST_CASE_FIXTURE(installation, "the budget is a key of the configuration as well") {
  program run{start({"--set", "sample.extra=deaf", "--set", "node.shutdown_timeout=20ms"})};
  REQUIRE(run.says("started"));
  run.signal(SIGTERM);
  CHECK(run.exit_code() == 3);
}

TEST_CASE_FIXTURE(installation, "a second SIGTERM ends a tree that takes its time at once") {
  program run{start({"--set", "sample.extra=deaf"})};
  REQUIRE(run.says("started"));
  run.signal(SIGTERM);
  REQUIRE(run.says("stopping"));
  run.signal(SIGTERM);
  CHECK(run.exit_code() == 3);
  CHECK(run.text.find("told to stop once more") != std::string::npos);
}

TEST_CASE_FIXTURE(installation, "SIGUSR1 writes a file about the processes, and the node goes on") {
  program run{start()};
  REQUIRE(run.says("started"));
  run.signal(SIGUSR1);
  REQUIRE(run.says("wrote a process dump"));
  std::ostringstream dump;
  dump << std::ifstream(place(".dump")).rdbuf();
  CHECK(dump.str().find("=application:sample") != std::string::npos);
  CHECK(dump.str().find("Name: counter\n") != std::string::npos);
  CHECK(dump.str().ends_with("=end\n"));
  run.signal(SIGTERM);
  CHECK(run.exit_code() == 0);
}

TEST_CASE_FIXTURE(
    installation, "under load SIGTERM stops the tree in reverse order, within the budget") {
  program run{start({"--set", "sample.extra=busy", "--set", "node.shutdown_timeout=10s"})};
  REQUIRE(run.says("busy"));
  REQUIRE(run.says("started"));
  auto before = std::chrono::steady_clock::now();
  run.signal(SIGTERM);
  CHECK(run.exit_code() == 0);
  CHECK(std::chrono::steady_clock::now() - before < 10s);
  CHECK(run.order() == arguments{"start a", "start b", "start c", "stop c", "stop b", "stop a"});
}

// --- several applications ------------------------------------------------------------------------

namespace {

/// The program as four applications: base, log (temporary), web (depends on both), main.
struct several : installation {
  several() {
    ::setenv("SAMPLE_APPLICATIONS", "1", 1);
    configure("");
  }
  ~several() { ::unsetenv("SAMPLE_APPLICATIONS"); }
};

}  // namespace

TEST_CASE_FIXTURE(several, "applications start after what they depend on, and stop in reverse") {
  program run{start()};
  REQUIRE(run.says("started application=sample"));
  run.signal(SIGTERM);
  CHECK(run.exit_code() == 0);
  CHECK(
      run.order() == arguments{
                         "start base", "start log", "start web", "start phase warm_up of web",
                         "start phase accept of web", "start main", "stop main", "stop prep web",
                         "stop web", "stop done web", "stop log", "stop base"});
  CHECK(run.text.find("running base log web\n") != std::string::npos);
}

TEST_CASE_FIXTURE(several, "the end of a temporary application leaves the others alone") {
  program run{start({"--set", "log.crash=true"})};
  REQUIRE(run.says("an application has ended, the others go on"));
  REQUIRE(run.says("started application=sample"));
  run.signal(SIGTERM);
  CHECK(run.exit_code() == 0);
  CHECK(run.order().back() == "stop base");
}

TEST_CASE_FIXTURE(several, "the end of a permanent application stops all others in order") {
  finished run{start({"--set", "main.crash=true"})};
  CHECK(run.code == 1);
  CHECK(run.says("the supervision tree has ended"));
  arguments last(run.order.end() - 6, run.order.end());
  CHECK(
      last ==
      arguments{
          "stop main", "stop prep web", "stop web", "stop done web", "stop log", "stop base"});
}

TEST_CASE_FIXTURE(several, "a start phase that fails stops what has started, with code 1") {
  finished run{start({"--set", "web.phase=accept"})};
  CHECK(run.code == 1);
  CHECK(run.says("sample: accept failed"));
  CHECK_FALSE(run.says("start main"));
  CHECK(run.order.back() == "stop base");
}

TEST_CASE("a wrong command line ends with code 2 and a sentence") {
  finished flag{{"start", "--confg", "x.yaml"}};
  CHECK(flag.code == 2);
  CHECK(flag.says("--confg"));
  finished command{{"strat"}};
  CHECK(command.code == 2);
  finished nothing{{}};
  CHECK(nothing.code == 2);
  CHECK(nothing.says("subcommand is required"));
}

TEST_CASE("help and version print and end with code 0") {
  finished help{{"--help"}};
  CHECK(help.code == 0);
  CHECK(help.says("Run the node in the foreground"));
  finished version{{"version"}};
  CHECK(version.code == 0);
  CHECK(version.text == "sample 1.2.3\n");
}

TEST_CASE_FIXTURE(
    installation, "an unknown key ends with code 2 and its line, before anything starts") {
  configure("sample:\n  start: 41\n  extar: broken\n");
  finished run{start()};
  CHECK(run.code == 2);
  CHECK(run.says(file + ":3"));
  CHECK(run.says("did you mean extra?"));
  CHECK_FALSE(run.says("start a"));
}

TEST_CASE_FIXTURE(installation, "a value that is wrong ends with code 2 and its line") {
  configure("# counts\nsample:\n  start: many\n");
  finished type{start()};
  CHECK(type.code == 2);
  CHECK(type.says("sample: expected sample.start to be 0–100, got many (" + file + ":3)"));

  configure("sample:\n  start: 101\n");
  finished range{start()};
  CHECK(range.code == 2);
  CHECK(range.says("expected sample.start to be 0–100, got 101 (" + file + ":2)"));

  configure("sample: [\n");
  finished syntax{start()};
  CHECK(syntax.code == 2);
  CHECK(syntax.says(file));
}

TEST_CASE_FIXTURE(
    installation, "a configuration file that is missing ends with code 2 and a sentence") {
  finished given{{"start", "--config", file + ".old"}};
  CHECK(given.code == 2);
  CHECK(given.says("expected " + file + ".old to be a readable file"));
  finished by_default{{"start"}};
  CHECK(by_default.code == 2);
  CHECK(by_default.says("expected conf/sample.yaml to be a readable file"));
}

TEST_CASE_FIXTURE(installation, "--set overrides the file, and is named when it is wrong") {
  program run{start({"--set", "sample.start=6", "--set", "logger.level=warning"})};
  REQUIRE(run.says("counter 7"));
  run.signal(SIGTERM);
  CHECK(run.exit_code() == 0);
  CHECK(run.text.find("stopping") == std::string::npos);  // which is logged below warning

  finished wrong{start({"--set", "sample.start=six"})};
  CHECK(wrong.code == 2);
  CHECK(wrong.says("got six (--set sample.start=six)"));
  finished unknown{start({"--set", "sample.stat=6"})};
  CHECK(unknown.code == 2);
  CHECK(unknown.says("--set sample.stat=6"));
  finished shapeless{start({"--set", "sample.start"})};
  CHECK(shapeless.code == 2);
}

TEST_CASE_FIXTURE(installation, "--set may stand in for a variable that is not set") {
  ::unsetenv("ROOST_TEST_ABSENT");
  configure("sample:\n  start: ${ROOST_TEST_ABSENT}\n");
  finished unset{start()};
  CHECK(unset.code == 2);
  CHECK(unset.says("ROOST_TEST_ABSENT"));
  finished broken{start({"--set", "sample.start=1", "--set", "sample.extra=broken"})};
  CHECK(broken.code == 1);
}

TEST_CASE_FIXTURE(installation, "the node's name comes from the command line, else from the file") {
  configure("node:\n  name: left@127.0.0.1\nsample:\n  extra: broken\n");
  CHECK(finished{start()}.says("node left@127.0.0.1\n"));
  CHECK(finished{start({"--name", "right@127.0.0.1"})}.says("node right@127.0.0.1\n"));
  for (auto* name : {"sample", "@host", "sample@", "a@b@c"}) {
    CAPTURE(name);
    finished run{start({"--name", name})};
    CHECK(run.code == 2);
    CHECK(run.says("to be NAME@HOST, got " + std::string(name)));
  }
}

TEST_CASE_FIXTURE(
    installation, "the default configuration is found beside the program's directory") {
  fs::create_directories(directory / "bin");
  fs::create_directories(directory / "conf");
  auto copy = directory / "bin" / "sample_application";
  fs::copy_file(sample_program(), copy);
  std::ofstream(directory / "conf" / "sample.yaml") << "sample:\n  start: 99\n";
  program run{{"start"}, copy.string()};
  CHECK(run.says("counter 100"));
  run.signal(SIGTERM);
  CHECK(run.exit_code() == 0);
}
