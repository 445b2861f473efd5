// Runs sample_application, a real program, and looks at what it says and how it exits.
#include "tests/support.hpp"
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cstdlib>
#include <filesystem>
#include <fstream>

using namespace roost::test;
namespace fs = std::filesystem;

namespace {

using arguments = std::vector<std::string>;

std::string sample_program() {
  auto* directory = std::getenv("ROOST_BIN_DIR");
  auto beside = fs::read_symlink("/proc/self/exe").parent_path();
  return ((directory != nullptr ? fs::path(directory) : beside) / "sample_application").string();
}

/// A running program; all that it writes is kept. Killed if the test leaves it behind.
class program {
 public:
  explicit program(arguments arguments, std::string path = sample_program()) {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
    arguments.insert(arguments.begin(), path);
    std::vector<char*> argv;
    for (auto& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    auto error = ::posix_spawn(&process_, path.c_str(), &actions, nullptr, argv.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    ::close(ends[1]);
    output_ = ends[0];
    INFO("expected to run " << path << ", which the test program expects beside itself");
    REQUIRE(error == 0);
  }
  program(const program&) = delete;
  program& operator=(const program&) = delete;
  ~program() {
    if (process_ > 0) {
      ::kill(process_, SIGKILL);
      ::waitpid(process_, nullptr, 0);
    }
    ::close(output_);
  }

  /// Reads until the program has said this.
  bool says(std::string_view expected) {
    return eventually([&] { return text.find(expected) != text.npos || !read(10ms); }) &&
           text.find(expected) != text.npos;
  }

  void signal(int number) { ::kill(process_, number); }

  /// Waits for its end; answers the exit code, or minus the signal that killed it.
  int exit_code() {
    REQUIRE(eventually([&] { return !read(10ms); }));
    int status = 0;
    ::waitpid(std::exchange(process_, 0), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

  /// What it said about starting and stopping, in order.
  arguments order() const {
    arguments result;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);)
      if (line.starts_with("start ") || line.starts_with("stop ")) result.push_back(line);
    return result;
  }

  std::string text;

 private:
  /// Answers false at the end of the output.
  bool read(std::chrono::milliseconds patience) {
    pollfd waiting{output_, POLLIN, 0};
    if (::poll(&waiting, 1, static_cast<int>(patience.count())) <= 0) return true;
    char buffer[4096];
    auto size = ::read(output_, buffer, sizeof buffer);
    if (size > 0) text.append(buffer, static_cast<std::size_t>(size));
    return size > 0;
  }

  pid_t process_ = 0;
  int output_ = -1;
};

/// A directory with the program's configuration in it.
struct installation {
  installation() {
    auto name = (fs::temp_directory_path() / "roost_application_test_XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    directory = name;
    file = (directory / "sample.yaml").string();
    configure("sample:\n  start: 41\n");
  }
  ~installation() { fs::remove_all(directory); }

  void configure(std::string_view text) const { std::ofstream(file) << text; }

  arguments start(arguments more = {}) const {
    arguments all{"start", "--config", file};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }

  fs::path directory;
  std::string file;
};

/// A run that ends by itself.
struct finished {
  explicit finished(arguments arguments) {
    program run{std::move(arguments)};
    code = run.exit_code();
    text = run.text;
    order = run.order();
  }
  bool says(std::string_view expected) const { return text.find(expected) != text.npos; }

  int code;
  std::string text;
  arguments order;
};

}  // namespace

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
  CHECK(run.order() == arguments{"start a", "start b", "start c", "stop c", "stop b", "stop a"});
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

TEST_CASE_FIXTURE(installation, "a tree that does not stop in time is killed, with code 1") {
  ::setenv("SAMPLE_IN_A_HURRY", "1", 1);
  program run{start({"--set", "sample.extra=deaf"})};
  ::unsetenv("SAMPLE_IN_A_HURRY");
  REQUIRE(run.says("started"));
  run.signal(SIGTERM);
  CHECK(run.exit_code() == 1);
  CHECK(run.text.find("the tree did not stop in time limit_ms=50") != std::string::npos);
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
