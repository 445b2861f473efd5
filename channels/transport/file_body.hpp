// private: a file that is sent piece by piece, so that it is never in memory as a whole.
#pragma once
#include <cstddef>
#include <string>
#include <utility>

namespace roost::detail {

struct file_body {
  int fd = -1;
  std::size_t left = 0;

  file_body() = default;
  file_body(int fd, std::size_t size) noexcept : fd(fd), left(size) {}
  file_body(file_body&& other) noexcept : fd(std::exchange(other.fd, -1)), left(other.left) {}
  file_body& operator=(file_body&& other) noexcept {
    std::swap(fd, other.fd);
    std::swap(left, other.left);
    return *this;
  }
  ~file_body();

  /// Puts the next piece into `piece`. Answers false when the file has become shorter, or cannot be
  /// read any more: then only a broken connection tells the client.
  bool read_piece(std::string& piece);
};

}  // namespace roost::detail
