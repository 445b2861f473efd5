#include "runtime/ets_store.hpp"
#include <sanitizer/asan_interface.h>
#include <sys/mman.h>
#include <algorithm>
#include <cstdlib>
#include <new>

namespace roost::detail {
namespace {

constexpr std::size_t huge_page = std::size_t{2} << 20;
constexpr std::size_t node_alignment = 64;

}  // namespace

void* node_pool::take() {
  std::lock_guard guard{lock_};
  if (unused_ != nullptr) {
    auto* node = unused_;
    ASAN_UNPOISON_MEMORY_REGION(node, size_);
    unused_ = node->next;
    return node;
  }
  if (static_cast<std::size_t>(end_ - fresh_) < size_) grow();
  auto* node = fresh_;
  fresh_ += size_;
  ASAN_UNPOISON_MEMORY_REGION(node, size_);
  return node;
}

void node_pool::give_back(void* node) noexcept {
  std::lock_guard guard{lock_};
  unused_ = new (node) unused{unused_};
  ASAN_POISON_MEMORY_REGION(node, size_);
}

void node_pool::drop() noexcept {
  std::lock_guard guard{lock_};
  unused_ = nullptr;
  fresh_ = end_ = nullptr;
  chunks_.clear();
}

/// Chunks double up to the size of a huge page, with which a large table needs fewer address
/// translations: much of what a lookup in it waits for.
void node_pool::grow() {
  auto size = std::max(next_chunk_, 8 * size_);
  auto alignment = size < huge_page ? node_alignment : huge_page;
  size = (size + alignment - 1) / alignment * alignment;
  chunks_.reserve(chunks_.size() + 1);
  auto* chunk = static_cast<std::byte*>(std::aligned_alloc(alignment, size));
  if (chunk == nullptr) throw std::bad_alloc();
  if (alignment == huge_page) ::madvise(chunk, size, MADV_HUGEPAGE);  // or else small ones will do
  ASAN_POISON_MEMORY_REGION(chunk, size);
  chunks_.emplace_back(chunk);
  fresh_ = chunk;
  end_ = chunk + size;
  next_chunk_ = std::min(2 * size, huge_page);
}

}  // namespace roost::detail
