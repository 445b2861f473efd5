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

class outlet {
 public:
  explicit outlet(enum protocol protocol) noexcept : protocol_(protocol) {}
  outlet(const outlet&) = delete;
  outlet& operator=(const outlet&) = delete;

  enum protocol protocol() const noexcept { return protocol_; }

  /// One encoded message. Nothing happens when the client has gone.
  virtual void write(encoded kind, std::string_view message) = 0;
  virtual void write(const shared_frame_ptr& frame) = 0;

  void add_ref() noexcept { ++refs_; }
  void release() noexcept {
    if (--refs_ == 0) destroy();
  }

 protected:
  virtual ~outlet() = default;
  virtual void destroy() noexcept = 0;

 private:
  std::uint32_t refs_ = 0;
  enum protocol protocol_;
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

}  // namespace roost::detail
