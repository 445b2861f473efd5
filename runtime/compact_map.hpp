// private: a map that costs nothing when empty, a few words when small, and stays O(1) when large.
//
// A process has few links and monitors, but there are very many processes; a supervisor has a
// hundred thousand. So entries live in a vector up to `small_limit` and in a hash map beyond it.
#pragma once
#include <boost/unordered/unordered_flat_map.hpp>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace roost::detail {

template <class Key, class Value>
class compact_map {
 public:
  using entry = std::pair<Key, Value>;

  std::size_t size() const noexcept { return large_ ? large_->size() : small_.size(); }
  bool empty() const noexcept { return size() == 0; }
  bool contains(const Key& key) const {
    return const_cast<compact_map*>(this)->find(key) != nullptr;
  }

  Value* find(const Key& key) {
    if (large_) {
      auto found = large_->find(key);
      return found == large_->end() ? nullptr : &found->second;
    }
    for (auto& [present, value] : small_)
      if (present == key) return &value;
    return nullptr;
  }

  /// Adds or overwrites. Answers whether the key is new.
  bool insert(const Key& key, Value value) {
    if (auto* present = find(key)) {
      *present = std::move(value);
      return false;
    }
    if (!large_ && small_.size() == small_limit) grow();
    if (large_)
      large_->emplace(key, std::move(value));
    else
      small_.emplace_back(key, std::move(value));
    return true;
  }

  std::optional<Value> take(const Key& key) {
    if (large_) {
      auto found = large_->find(key);
      if (found == large_->end()) return std::nullopt;
      std::optional<Value> value{std::move(found->second)};
      large_->erase(found);
      if (large_->empty()) large_.reset();
      return value;
    }
    for (std::size_t i = 0; i < small_.size(); ++i) {
      if (!(small_[i].first == key)) continue;
      std::optional<Value> value{std::move(small_[i].second)};
      if (i + 1 != small_.size()) small_[i] = std::move(small_.back());
      small_.pop_back();
      return value;
    }
    return std::nullopt;
  }

  bool erase(const Key& key) { return take(key).has_value(); }

  /// Gives back the room that is not needed.
  void shrink() {
    small_.shrink_to_fit();
    if (large_) large_->rehash(0);
  }

  template <class F>
  void for_each(F f) const {
    if (large_)
      for (auto& [key, value] : *large_) f(key, value);
    else
      for (auto& [key, value] : small_) f(key, value);
  }

 private:
  static constexpr std::size_t small_limit = 12;
  using hash_map = boost::unordered_flat_map<Key, Value, std::hash<Key>>;

  void grow() {
    large_ = std::make_unique<hash_map>();
    large_->reserve(4 * small_limit);
    for (auto& [key, value] : small_) large_->emplace(key, std::move(value));
    std::vector<entry>().swap(small_);
  }

  std::vector<entry> small_;
  std::unique_ptr<hash_map> large_;
};

}  // namespace roost::detail
