// private: the members of all groups of a scope, for everybody to read.
//
// Members of this node are written here by whoever joins them, and the scope's process is told in
// the order of writing; it writes the others. A scope's process that crashes leaves the table
// behind with the members of this node, and its successor finds them here.
//
// Thread safety: any thread. Groups are spread over several locks, held for as long as it takes to
// change or copy one group.
#pragma once
#include "runtime/distribution/pg_state.hpp"
#include <array>
#include <atomic>
#include <memory>
#include <shared_mutex>

namespace roost::detail {

/// For the scope's process: members of this node are in a group so many times now.
struct pg_local_change { pg_rows rows; };

class pg_table {
 public:
  /// The table of a scope; null when there is none.
  static std::shared_ptr<pg_table> find(std::string_view scope);
  /// Throws std::invalid_argument when there is none.
  static std::shared_ptr<pg_table> find_or_throw(std::string_view scope);
  static std::shared_ptr<pg_table> find_or_make(const std::string& scope);
  static void remove(const std::string& scope);

  void join(const std::string& group, const std::vector<pid>& processes);
  /// Answers whether any of them was in the group.
  bool leave(const std::string& group, const std::vector<pid>& processes);

  std::vector<pid> members(const std::string& group) const;
  std::vector<pid> local_members(const std::string& group) const;
  std::vector<std::string> groups() const;
  std::vector<std::string> local_groups() const;

  // --- for the scope's process
  /// From now on changes are told to `owner`; nobody: to nobody.
  void set_owner(pid owner) { owner_.store(owner.id, std::memory_order_seq_cst); }
  void store(const std::string& group, const std::vector<pg_change>& changes);
  std::vector<pg_rows> local_rows() const;
  /// Without an owner nobody hears of other nodes.
  void drop_remote();

 private:
  using rows = boost::unordered_flat_map<pid, std::uint32_t, std::hash<pid>>;
  struct group_rows {
    rows local;
    rows remote;
  };
  struct shard {
    mutable std::shared_mutex mutex;
    boost::unordered_flat_map<std::string, group_rows> groups;
  };

  shard& shard_of(const std::string& group) {
    return shards_[std::hash<std::string>{}(group) % shards_.size()];
  }
  const shard& shard_of(const std::string& group) const {
    return shards_[std::hash<std::string>{}(group) % shards_.size()];
  }
  void tell_owner(pg_rows rows);
  template <class F>
  std::vector<std::string> groups_with(F has_members) const;

  std::array<shard, 16> shards_;
  std::atomic<std::uint64_t> owner_{0};
};

}  // namespace roost::detail
