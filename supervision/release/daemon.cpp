#include "supervision/release/daemon.hpp"
#include "supervision/release/exit_codes.hpp"
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <system_error>

namespace roost::detail {
namespace {

// What goes past the logger is little: a crash, heart's reports, what a library prints.
constexpr off_t most_output = 1 << 20;

int open_output(const std::string& file) {
  struct stat info {};
  if (::stat(file.c_str(), &info) == 0 && info.st_size > most_output)
    ::rename(file.c_str(), (file + ".1").c_str());
  int descriptor =
      ::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (descriptor < 0)
    throw config_error(
        "expected " + file + " to be a writable file, got \"" +
        std::generic_category().message(errno) + '"');
  return descriptor;
}

off_t size_of(const std::string& file) {
  struct stat info {};
  return ::stat(file.c_str(), &info) == 0 ? info.st_size : 0;
}

void redirect(int output) {
  int nothing = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (nothing >= 0) ::dup2(nothing, STDIN_FILENO);
  ::dup2(output, STDOUT_FILENO);
  ::dup2(output, STDERR_FILENO);
  if (nothing > STDERR_FILENO) ::close(nothing);
  if (output > STDERR_FILENO) ::close(output);
}

/// What the daemon has written since, for the person at the terminal.
void show_output(const std::string& file, off_t from) {
  std::ifstream input(file);
  input.seekg(from);
  std::cerr << input.rdbuf();
}

int wait_for_daemon(
    const std::string& program, const node_files& files, int line, off_t output_before) {
  unsigned char code = exit_code::failed;
  ssize_t size = 0;
  do size = ::read(line, &code, 1);
  while (size < 0 && errno == EINTR);
  ::close(line);
  if (size == 1 && code == 0) {
    std::string pid;
    std::getline(std::ifstream(files.pid_file()), pid);
    std::cout << program << ": started, process " << pid << ", log in " << files.log() << "\n";
    return exit_code::in_order;
  }
  show_output(files.output(), output_before);
  std::cerr << program << ": expected the node to start, got "
            << (size == 1 ? "exit code " + std::to_string(code) : "its death") << "; see "
            << files.log() << " and " << files.output() << "\n";
  return size == 1 ? code : exit_code::failed;
}

int fork_or_throw() {
  auto child = ::fork();
  if (child < 0) throw std::system_error(errno, std::generic_category(), "expected to fork");
  return child;
}

}  // namespace

void daemon_line::close() {
  if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
}

void daemon_line::tell(char code) {
  if (descriptor_ >= 0) [[maybe_unused]]
    auto written = ::write(descriptor_, &code, 1);
  close();
}

std::optional<int> become_daemon(
    const std::string& program, const node_files& files, daemon_line& line) {
  files.prepare_logs();
  int output = open_output(files.output());
  auto before = size_of(files.output());
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0)
    throw std::system_error(errno, std::generic_category(), "expected a pipe to the daemon");
  std::cout.flush();
  if (auto child = fork_or_throw(); child != 0) {
    ::close(ends[1]);
    ::close(output);
    ::waitpid(child, nullptr, 0);
    return wait_for_daemon(program, files, ends[0], before);
  }
  // Two forks: the leader of a session could be given a terminal again, its child cannot.
  ::close(ends[0]);
  ::setsid();
  if (fork_or_throw() != 0) ::_exit(0);
  redirect(output);
  line = daemon_line(ends[1]);
  return std::nullopt;
}

}  // namespace roost::detail
