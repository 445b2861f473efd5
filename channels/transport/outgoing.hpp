// private: what one client is to be told and the kernel has not taken yet.
//
// A single piece that others get as well stays shared; whatever is more is put together in a
// buffer, of those that the clients of a worker share. With nothing to say it holds none.
#pragma once
#include "channels/transport/outlet.hpp"
#include "channels/transport/worker_buffers.hpp"
#include <string>
#include <string_view>
#include <utility>

namespace roost::detail {

class outgoing {
 public:
  bool empty() const noexcept { return !only_ && bytes_.empty(); }
  /// What has not been sent.
  std::string_view rest() const noexcept {
    return (only_ ? only_->bytes() : std::string_view(bytes_)).substr(sent_);
  }
  void put(const fan_out_ptr& piece) {
    if (empty())
      only_ = piece;
    else
      open().append(piece->bytes());
  }
  /// All of it as one buffer to append to.
  std::string& open() {
    give_room(bytes_);
    if (only_) bytes_.append(std::exchange(only_, {})->bytes());
    return bytes_;
  }
  void has_sent(std::size_t count) noexcept { sent_ += count; }
  /// All has been sent.
  void finish() {
    sent_ = 0;
    if (only_)
      only_ = {};
    else
      take_room(bytes_);
  }
  /// Nothing will be.
  void drop() {
    only_ = {};
    bytes_ = std::string();
    sent_ = 0;
  }

 private:
  fan_out_ptr only_;
  std::size_t sent_ = 0;
  std::string bytes_;
};

}  // namespace roost::detail
