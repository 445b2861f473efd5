// private: memory for the shared_state, at one address in all processes that are forked.
#pragma once
#include "bench/load/shared_state.hpp"
#include <sys/mman.h>
#include <cerrno>
#include <memory>
#include <new>
#include <system_error>

namespace roost::load {

class shared_memory {
 public:
  explicit shared_memory(std::size_t workers)
      : size_(sizeof(shared_state) + alignof(worker_state) + workers * sizeof(worker_state)),
        memory_(::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) {
    if (memory_ == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "mmap");
    state_ = new (memory_) shared_state();
    void* place = state_ + 1;
    auto space = size_ - sizeof(shared_state);
    std::align(alignof(worker_state), sizeof(worker_state), place, space);
    auto* first = static_cast<worker_state*>(place);
    for (std::size_t i = 0; i < workers; ++i) new (first + i) worker_state();
    state_->workers = {first, workers};
  }
  shared_memory(const shared_memory&) = delete;
  shared_memory& operator=(const shared_memory&) = delete;
  ~shared_memory() { ::munmap(memory_, size_); }

  shared_state& operator*() const noexcept { return *state_; }
  shared_state* operator->() const noexcept { return state_; }

 private:
  std::size_t size_;
  void* memory_;
  shared_state* state_ = nullptr;
};

}  // namespace roost::load
