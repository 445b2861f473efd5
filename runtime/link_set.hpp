// private: the links of a process. Most processes have one, to their supervisor: it costs no
// allocation.
#pragma once
#include "runtime/compact_map.hpp"
#include "runtime/pid.hpp"

namespace roost::detail {

class link_set {
 public:
  bool empty() const noexcept { return only_ == nobody && !others_; }
  bool contains(pid other) const {
    return (other != nobody && only_ == other) || (others_ && others_->contains(other));
  }

  /// Answers whether it is new.
  bool insert(pid other) {
    if (contains(other)) return false;
    if (other != nobody && empty()) {
      only_ = other;
      return true;
    }
    if (!others_) others_ = std::make_unique<set>();
    return others_->insert(other, {});
  }

  /// Answers whether it was there.
  bool erase(pid other) {
    if (other != nobody && only_ == other) {
      only_ = nobody;
      return true;
    }
    if (!others_ || !others_->erase(other)) return false;
    if (others_->empty()) others_.reset();
    return true;
  }

  void shrink() {
    if (others_) others_->shrink();
  }

  template <class F>
  void for_each(F f) const {
    if (only_ != nobody) f(only_);
    if (others_) others_->for_each([&](pid other, nothing) { f(other); });
  }

 private:
  struct nothing {};
  using set = compact_map<pid, nothing>;
  static constexpr pid nobody{};

  pid only_;
  std::unique_ptr<set> others_;
};

}  // namespace roost::detail
