// supervision/release/daemon.hpp — private.
//
// Leaves the terminal: the launcher waits until the node serves and then ends, the daemon goes on
// in a session of its own with its output in a file.
//
//   daemon_line line;
//   if (auto code = become_daemon(files, line)) return *code;   // in the launcher
//   … here is the daemon; line.ready() lets the launcher go
//
// The working directory stays, so that relative paths mean the same as with `start`.
// Source: daemon(7).
#pragma once
#include "supervision/release/node_files.hpp"
#include <utility>

namespace roost::detail {

/// The daemon's end of a pipe to its launcher; does nothing without one.
class daemon_line {
 public:
  daemon_line() = default;
  explicit daemon_line(int descriptor) : descriptor_(descriptor) {}
  daemon_line(daemon_line&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  daemon_line& operator=(daemon_line&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~daemon_line() { close(); }

  void ready() { tell('\0'); }
  void failed(int exit_code) { tell(static_cast<char>(exit_code)); }
  void close();  // says nothing

 private:
  void tell(char code);

  int descriptor_ = -1;
};

/// Answers the exit code in the launcher.
std::optional<int> become_daemon(
    const std::string& program, const node_files& files, daemon_line& line);

}  // namespace roost::detail
