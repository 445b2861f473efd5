// The replicated tables of the tests with real nodes, as sample_replica and its tests both open
// them.
#pragma once
#include "runtime/distribution/node.hpp"
#include "runtime/distribution/replicated_ets.hpp"
#include <map>

namespace roost::test {

struct note {
  int id = 0;
  std::string text = {};
  bool operator==(const note&) const = default;
};
using note_table = replicated_ets<note, &note::id>;

/// Counts, each node in a field of its own.
struct tally {
  std::string name;
  std::map<std::string, std::uint64_t> counts = {};
  bool operator==(const tally&) const = default;
};
using tally_table = replicated_ets<tally, &tally::name, ets::kind::ordered_set>;

inline tally merge(const tally& a, const tally& b) {
  auto both = a;
  for (auto& [node, count] : b.counts) both.counts[node] = std::max(both.counts[node], count);
  return both;
}

inline note_table open_notes() {
  return note_table{
      {.name = "notes", .access = ets::public_, .sync_interval = std::chrono::seconds(1)}};
}
inline tally_table open_tallies() {
  return tally_table{
      {.name = "tallies",
       .access = ets::public_,
       .merge = merge,
       .sync_interval = std::chrono::seconds(1)}};
}

inline void count(const tally_table& table, const std::string& name) {
  auto one_more = [](tally& row) { ++row.counts[roost::node::self()]; };
  while (!table.update(name, one_more)) table.insert_new({name, {{roost::node::self(), 0}}});
}
inline std::uint64_t sum(const tally_table& table, const std::string& name) {
  std::uint64_t sum = 0;
  if (auto row = table.lookup(name))
    for (auto& [node, count] : row->counts) sum += count;
  return sum;
}

/// The same for equal tables.
inline std::uint64_t checksum(const note_table& table) {
  return table.foldl(
      [](const note& row, std::uint64_t sum) {
        return sum + detail::replica_hash(std::to_string(row.id) + "/" + row.text);
      },
      std::uint64_t{0});
}

inline roost::node::options node_options(std::string name, std::uint16_t epmd_port) {
  return {
      .name = std::move(name),
      .cookie = "a-secret-that-only-these-tests-have-9f2c41d7",
      .epmd_port = epmd_port,
      .net_ticktime = std::chrono::seconds(60)};
}

}  // namespace roost::test
