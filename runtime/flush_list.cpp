#include "runtime/flush_list.hpp"
#include <cstddef>
#include <utility>

namespace roost::detail {

void flush_list::add(flushable& object) noexcept {
  if (std::exchange(object.flush_queued, true)) return;
  object.next_flush = nullptr;
  *end_ = &object;
  end_ = &object.next_flush;
}

void flush_list::flush() {
  constexpr std::ptrdiff_t cache_line = 64;
  while (first_ != nullptr) {
    auto* list = std::exchange(first_, nullptr);
    end_ = &first_;
    while (list != nullptr) {
      auto* object = std::exchange(list, list->next_flush);
      if (list != nullptr) {
        __builtin_prefetch(list);
        __builtin_prefetch(reinterpret_cast<char*>(list) + cache_line);
      }
      object->flush_queued = false;
      object->flush();
    }
    sends_.submit();
  }
}

}  // namespace roost::detail
