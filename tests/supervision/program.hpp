// Runs sample_application, a real program, for the tests that look at what it says and how it
// exits.
#pragma once
#include "tests/support.hpp"
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace roost::test {

namespace fs = std::filesystem;

using arguments = std::vector<std::string>;

/// A process that has ended may still be listed, until somebody asks for its exit code.
inline bool runs(pid_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/stat");
  std::string text;
  std::getline(file, text);
  auto name_end = text.rfind(") ");
  return name_end != text.npos && text[name_end + 2] != 'Z';
}

inline std::string sample_program() {
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
  pid_t id() const { return process_; }

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

  /// Takes what it writes within this time. Answers false at the end of the output.
  bool read(std::chrono::milliseconds patience) {
    pollfd waiting{output_, POLLIN, 0};
    if (::poll(&waiting, 1, static_cast<int>(patience.count())) <= 0) return true;
    char buffer[4096];
    auto size = ::read(output_, buffer, sizeof buffer);
    if (size > 0) text.append(buffer, static_cast<std::size_t>(size));
    return size > 0;
  }

 private:
  pid_t process_ = 0;
  int output_ = -1;
};

/// A directory with the program's configuration in it.
struct installation {
  installation() {
    auto name = (fs::temp_directory_path() / "roost_application_test_XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    directory = name;
    // Nodes of other tests may run at the same time.
    ::setenv("RELEASE_TMP", (directory / "tmp").c_str(), 1);
    file = (directory / "sample.yaml").string();
    configure("sample:\n  start: 41\n");
  }
  ~installation() {
    // A daemon that a failed test has left.
    if (auto left = pid_in_file(); left > 0) ::kill(left, SIGKILL);
    // A node whose heart was killed may still be writing there while it ends.
    std::error_code error;
    eventually([&] { return fs::remove_all(directory, error), !error; });
    ::unsetenv("RELEASE_TMP");
  }

  void configure(std::string_view text) const { std::ofstream(file) << text; }

  arguments start(arguments more = {}) const { return command("start", std::move(more)); }

  arguments command(const std::string& name, arguments more = {}) const {
    arguments all{name, "--config", file};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }

  /// Of the unnamed node; 0 if there is no such file.
  pid_t pid_in_file() const {
    pid_t number = 0;
    std::ifstream(place(".pid")) >> number;
    return number;
  }

  std::string place(const std::string& ending) const {
    return (directory / "tmp" / ("sample" + ending)).string();
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

}  // namespace roost::test
