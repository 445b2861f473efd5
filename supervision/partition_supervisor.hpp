// supervision/partition_supervisor.hpp
//
// Several copies of one child, so that what was one bottleneck becomes many: callers pick a copy by
// a key, and the same key always leads to the same copy.
//
//   roost::child<roost::partition_supervisor>(
//       {.name = "counters", .child = roost::child<counter>(0)})
//
//   roost::server<counter> mine{roost::via_partition("counters", user_id)};
//   roost::cast(mine, counter::bump{});
//
//   // Often each copy is a dynamic supervisor, so that many may start children at the same time:
//   roost::child<roost::partition_supervisor>(
//       {.name = "rooms", .child = roost::child<roost::dynamic_supervisor>({})})
//   roost::dynamic_supervisor{roost::via_partition("rooms", topic)}.start_child<room>(topic)
//
// An integer key leads to the partition abs(key) mod N, any other to its hash mod N. Until the
// supervisor runs, and while a partition is being restarted, the key leads to nobody, or to one
// that has gone.
//
// Errors. A child with a name cannot have copies: the second does not start (already_started); give
// each its own by `with_arguments`. Wrong options throw std::invalid_argument.
//
// Thread safety: call from any process or thread; finding a partition takes no lock of the
// supervisor. Source: Elixir PartitionSupervisor.
#pragma once
#include "supervision/supervisor.hpp"

namespace roost {

class partition_supervisor {
 public:
  struct options {
    std::string name = {};         // required
    roost::child_spec child = {};  // what there are copies of …
    std::function<roost::child_spec(std::size_t partition)> with_arguments =
        {};                      // … or how each is
    std::size_t partitions = 0;  // 0: as many as there are schedulers
    enum strategy strategy = one_for_one;
    int max_restarts = 3;
    std::chrono::milliseconds max_seconds{5000};
    std::optional<struct backoff> backoff = {};
  };
  static roost::child_spec child_spec(options options);

  /// Starts one that is linked to the caller.
  static pid start_link(options options);

  /// A handle to the supervisor of this name, whether it runs or not.
  explicit partition_supervisor(std::string name) : name_(std::move(name)) {}

  /// How many partitions are in use; 0 if there is no such supervisor.
  std::size_t partitions() const;

  /// Uses fewer partitions, or more of those that it was started with; the others are stopped. Keys
  /// lead elsewhere from then on. Answers how many there are. Throws std::invalid_argument for more
  /// than it was started with, or none.
  pending<std::size_t> resize(std::size_t partitions) const;

  /// The ids are the numbers of the partitions, as text.
  pending<std::vector<child_info>> which_children() const {
    return supervisor(process_name(name_)).which_children();
  }
  pending<child_counts> count_children() const {
    return supervisor(process_name(name_)).count_children();
  }
  pid process() const noexcept { return whereis(name_); }

 private:
  std::string name_;
};

namespace detail {
via_name via_partition(std::string_view supervisor, std::uint64_t magnitude);
}

/// The partition for a key: `{via, PartitionSupervisor, {counters, Key}}`.
template <std::integral Key>
via_name via_partition(std::string_view supervisor, Key key) {
  auto magnitude = static_cast<std::uint64_t>(key);
  return detail::via_partition(supervisor, key < 0 ? 0 - magnitude : magnitude);
}
via_name via_partition(std::string_view supervisor, std::string_view key);

}  // namespace roost
