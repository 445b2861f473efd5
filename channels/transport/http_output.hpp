// private: what one HTTP client is to be told and the kernel has not taken yet: answers, and a file
// that follows the last of them piece by piece.
#pragma once
#include "channels/transport/file_body.hpp"
#include "channels/transport/stream.hpp"

namespace roost::detail {

class http_output {
 public:
  bool empty() const noexcept { return bytes_.empty() && file_.left == 0; }
  /// Bytes in memory.
  std::size_t unsent() const noexcept { return bytes_.size() - sent_; }
  /// To append to.
  std::string& bytes() noexcept { return bytes_; }

  void follow_with(file_body file) { file_ = std::move(file); }
  std::size_t file_size() const noexcept { return file_.left; }
  void drop_file() { file_ = {}; }

  /// How much the stream took now. Blocked: wants to go on when the stream is writable, which it
  /// may be at once, as others want to be served between the pieces of a file. Ended: so is the
  /// stream, or the file cannot be read.
  io_result write_to(byte_stream& stream);

 private:
  std::string bytes_;
  std::size_t sent_ = 0;  // of the bytes
  file_body file_;
};

}  // namespace roost::detail
