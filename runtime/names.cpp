#include "runtime/names.hpp"
#include <boost/unordered/unordered_flat_map.hpp>
#include <array>
#include <mutex>
#include <shared_mutex>
#include <string>

namespace roost::detail::names {
namespace {

struct string_hash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const noexcept {
    return std::hash<std::string_view>{}(text);
  }
};

// Lookups are frequent and writes are rare; shards keep even the writes apart.
struct shard {
  std::shared_mutex mutex;
  boost::unordered_flat_map<std::string, pid, string_hash, std::equal_to<>> owners;
};

std::array<shard, 16>& shards() {
  static auto& all = *new std::array<shard, 16>;  // outlives every thread
  return all;
}

shard& shard_of(std::string_view name) { return shards()[string_hash{}(name) % shards().size()]; }

}  // namespace

pid add(std::string_view name, pid process) {
  auto& shard = shard_of(name);
  std::unique_lock guard{shard.mutex};
  auto [entry, is_new] = shard.owners.try_emplace(std::string(name), process);
  return is_new ? pid{} : entry->second;
}

bool remove(std::string_view name, pid process) noexcept {
  auto& shard = shard_of(name);
  std::unique_lock guard{shard.mutex};
  auto entry = shard.owners.find(name);
  if (entry == shard.owners.end() || entry->second != process) return false;
  shard.owners.erase(entry);
  return true;
}

pid find(std::string_view name) noexcept {
  auto& shard = shard_of(name);
  std::shared_lock guard{shard.mutex};
  auto entry = shard.owners.find(name);
  return entry == shard.owners.end() ? pid{} : entry->second;
}

std::vector<std::string> all() {
  std::vector<std::string> result;
  for (auto& shard : shards()) {
    std::shared_lock guard{shard.mutex};
    for (auto& [name, process] : shard.owners) result.push_back(name);
  }
  return result;
}

}  // namespace roost::detail::names
