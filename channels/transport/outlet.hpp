// private: where the messages for one client go. Belongs to one worker, like everything of a
// client; so its reference count is a plain number.
#pragma once
#include "channels/serializer.hpp"
#include <atomic>
#include <memory>
#include <utility>

namespace roost::detail {

/// A message encoded once for many clients: the bytes of a whole WebSocket frame.
struct shared_frame { std::string bytes; };
using shared_frame_ptr = std::shared_ptr<const shared_frame>;

template <class T>
class local_ptr;

/// What many clients of one worker get: a frame of all workers, or several in a row. Its references
/// are counted without atomics, since every client has one.
class fan_out_frame {
 public:
  explicit fan_out_frame(shared_frame_ptr frame) noexcept : frame_(std::move(frame)) {}
  fan_out_frame(std::string frames, std::uint32_t messages) noexcept
      : joined_(std::move(frames)), messages_(messages) {}

  std::string_view bytes() const noexcept { return frame_ ? frame_->bytes : joined_; }
  /// The frame itself, when it is one.
  const shared_frame_ptr& shared() const noexcept { return frame_; }
  std::uint32_t messages() const noexcept { return messages_; }

  void add_ref() noexcept { ++refs_; }
  void release() noexcept {
    if (--refs_ == 0) delete this;
  }

 private:
  shared_frame_ptr frame_;
  std::string joined_;
  std::uint32_t messages_ = 1;
  std::uint32_t refs_ = 0;
};
using fan_out_ptr = local_ptr<fan_out_frame>;

struct framed_message {
  encoded kind;
  std::string_view text;
};
/// The message without its frame.
framed_message message_in(const shared_frame& frame) noexcept;

/// Broadcasts of a turn go out together at its end; what is written to a client in between comes
/// behind them. See hub.hpp.
void deliver_waiting_broadcasts();

class outlet {
 public:
  explicit outlet(enum protocol protocol, bool takes_several = false) noexcept
      : protocol_(protocol), takes_several_(takes_several) {}
  outlet(const outlet&) = delete;
  outlet& operator=(const outlet&) = delete;

  enum protocol protocol() const noexcept { return protocol_; }

  /// One encoded message, after the broadcasts that were sent before it. Nothing happens when the
  /// client has gone.
  void write(encoded kind, std::string_view message) {
    deliver_waiting_broadcasts();
    put(kind, message);
  }
  /// A broadcast; only with takes_several() more than one.
  virtual void write(const fan_out_ptr& frame) = 0;
  bool takes_several() const noexcept { return takes_several_; }

  /// Bytes of the client's messages that wait for its channels.
  std::size_t inbound() const noexcept { return inbound_; }
  void charge(std::size_t bytes) noexcept { inbound_ += bytes; }
  void discharge(std::size_t bytes) noexcept {
    inbound_ -= bytes;
    inbound_freed();
  }

  void add_ref() noexcept { ++refs_; }
  void release() noexcept {
    if (--refs_ == 0) destroy();
  }

 protected:
  virtual ~outlet() = default;
  virtual void put(encoded kind, std::string_view message) = 0;
  virtual void destroy() noexcept = 0;
  virtual void inbound_freed() {}

 private:
  std::size_t inbound_ = 0;
  std::uint32_t refs_ = 0;
  enum protocol protocol_;
  bool takes_several_;
};

/// A counted pointer within one worker.
template <class T>
class local_ptr {
 public:
  local_ptr() noexcept = default;
  explicit local_ptr(T* object) noexcept : object_(object) {
    if (object_ != nullptr) object_->add_ref();
  }
  local_ptr(const local_ptr& other) noexcept : local_ptr(other.object_) {}
  local_ptr(local_ptr&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  local_ptr& operator=(local_ptr other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~local_ptr() {
    if (object_ != nullptr) object_->release();
  }

  T* get() const noexcept { return object_; }
  T* operator->() const noexcept { return object_; }
  T& operator*() const noexcept { return *object_; }
  explicit operator bool() const noexcept { return object_ != nullptr; }

 private:
  T* object_ = nullptr;
};

/// A message of the client that waits for its channel: counted from its making to its end.
class inbound_charge {
 public:
  inbound_charge() noexcept = default;
  inbound_charge(outlet* out, std::size_t bytes) noexcept : out_(out), bytes_(bytes) {
    if (out != nullptr) out->charge(bytes);
  }
  inbound_charge(inbound_charge&& other) noexcept
      : out_(std::move(other.out_)), bytes_(std::exchange(other.bytes_, 0)) {}
  inbound_charge& operator=(inbound_charge&& other) noexcept {
    std::swap(out_, other.out_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~inbound_charge() {
    if (out_) out_->discharge(bytes_);
  }
  friend std::string to_string(const inbound_charge& charge) {
    return std::to_string(charge.bytes_) + " bytes";
  }

 private:
  local_ptr<outlet> out_;
  std::size_t bytes_ = 0;
};

}  // namespace roost::detail
