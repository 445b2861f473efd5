// private: what the two kinds of ets tables share: the writers' lock, memory for rows, and rows
// that wait to be freed.
#pragma once
#include "runtime/epoch.hpp"
#include "runtime/ets.hpp"
#include <cstdlib>
#include <memory>
#include <mutex>
#include <vector>

namespace roost::detail {

struct ets_rows;
using ets_epoch = epoch<ets_rows>;

std::shared_ptr<ets_table> make_ets_hash_table(const ets_type& type, ets::options options);
std::shared_ptr<ets_table> make_ets_ordered_table(const ets_type& type, ets::options options);

/// Held for some hundred nanoseconds. Who has waited for longer gives up its time, as the holder
/// may have lost its own.
class spin_lock {
 public:
  void lock() noexcept {
    while (locked_.exchange(true, std::memory_order_acquire))
      for (unsigned tries = 1; locked_.load(std::memory_order_relaxed); ++tries)
        if (tries % 64 == 0) std::this_thread::yield();
  }
  void unlock() noexcept { locked_.store(false, std::memory_order_release); }

 private:
  std::atomic<bool> locked_{false};
};

/// Memory for the nodes of one size of one table. It grows with the table and goes with it, all at
/// once: deleting a million rows that need no destructor means freeing a few chunks.
class node_pool {
 public:
  node_pool() = default;
  node_pool(const node_pool&) = delete;
  node_pool& operator=(const node_pool&) = delete;
  ~node_pool() { drop(); }

  void set_node_size(std::size_t size) noexcept { size_ = size; }
  void* take();
  void give_back(void* node) noexcept;
  void drop() noexcept;

 private:
  struct unused { unused* next; };
  struct chunk_deleter {
    void operator()(std::byte* chunk) const noexcept { std::free(chunk); }
  };

  void grow();

  spin_lock lock_;
  std::size_t size_ = sizeof(unused);
  unused* unused_ = nullptr;
  std::byte* fresh_ = nullptr;  // never used yet, up to `end_`
  std::byte* end_ = nullptr;
  std::size_t next_chunk_ = 1024;
  std::vector<std::unique_ptr<std::byte, chunk_deleter>> chunks_;
};

/// Something unlinked that somebody may still be reading.
struct retired {
  void* object;
  std::size_t which;  // of a node: as given to allocate
  void (*free)(ets_table& table, const retired& what) noexcept;
  std::uint64_t epoch = 0;
};

/// Frees what it holds at the end of its life, which should be after that of the lock's guard: the
/// destructors of rows are user code.
class freed {
 public:
  explicit freed(ets_table& table) noexcept : table_(table) {}
  freed(const freed&) = delete;
  freed& operator=(const freed&) = delete;
  ~freed() {
    for (auto& one : all) one.free(table_, one);
  }

  std::vector<retired> all;

 private:
  ets_table& table_;
};

/// What was retired, oldest first. Guarded by a writers' lock.
class limbo {
 public:
  /// Makes room, so that the next `count` calls of retire do not throw.
  void reserve(std::size_t count) {
    if (all_.capacity() - all_.size() < count) all_.reserve(2 * all_.size() + count);
  }

  void retire(retired what) {
    what.epoch = ets_epoch::present();
    all_.push_back(what);
  }

  /// Now and then, moves to `into` what nobody reads any more.
  void collect(freed& into) {
    if (all_.size() < enough_) return;
    ets_epoch::try_advance();
    collect_now(into);
  }

  void collect_now(freed& into) {
    auto now = ets_epoch::present();
    auto end = all_.begin();
    while (end != all_.end() && ets_epoch::is_over(end->epoch, now)) ++end;
    into.all.insert(into.all.end(), all_.begin(), end);
    all_.erase(all_.begin(), end);
    enough_ = all_.size() + batch;
  }

  /// For the end of the table, when nobody is left who could read.
  void collect_all(freed& into) noexcept { into.all.swap(all_); }

 private:
  static constexpr std::size_t batch = 16;

  std::vector<retired> all_;
  std::size_t enough_ = batch;
};

}  // namespace roost::detail
