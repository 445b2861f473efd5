// channels/redis_adapter.hpp
//
// The adapter of pub_sub for nodes that are not connected to each other but share a Redis, 6.0 or
// later or what speaks like it. Each topic that somebody subscribes to is a channel of Redis, so a
// node gets what it wants and nothing else. A lost connection is made again; then the subscribers
// who asked for it are told by a pub_sub_gap that broadcasts may have been lost. While it is lost
// broadcast answers unreachable. Loss is never silent, but there is no second copy: see
// docs/redis.md.
//
//   roost::child<roost::pub_sub>({
//       .name = "chat",
//       .adapter = roost::redis_adapter({.url = "rediss://:secret@redis.internal:6380"})})
//
// Errors: a wrong option throws std::invalid_argument, here or when the pub_sub starts; none of
// them and no line of the log tells the password. That Redis cannot be reached is no error: it is
// logged once, and tried again. Thread safety: the function is pure. Source: phoenix_pubsub_redis.
#pragma once
#include "channels/pub_sub_adapter.hpp"

namespace roost {

struct redis_options {
  /// redis[s]://[user:password@]host[:port][/db]; empty: the variable REDIS_URL, or if it is not
  /// set redis://localhost:6379. The channels belong to all databases of the Redis.
  std::string url = {};
  /// What other nodes call this one, and how it knows its own broadcasts: different on each. Empty:
  /// the variable NODE_NAME, or the name in the cluster.
  std::string node_name = {};
  /// 1 to 64: in how many shares the topics are divided. Each has a connection that subscribes and
  /// one that publishes. May differ between nodes.
  std::uint32_t pool_size = 5;
  /// For rediss: a PEM file of the authorities to trust; empty: those of the system.
  std::string ca_file = {};
  /// How many bytes may wait to be written, per share, 1 KiB to 32 MiB; what does not fit is
  /// unreachable.
  std::size_t buffer_limit = std::size_t{8} << 20U;

  std::chrono::milliseconds connect_timeout{5000};  // each of the rest: 1 ms to an hour
  std::chrono::milliseconds retry_first{100};  // doubles up to retry_last; half of it is random
  std::chrono::milliseconds retry_last{5000};
  std::chrono::milliseconds ping_interval{2000};
  std::chrono::milliseconds ping_timeout{2000};  // a Redis that is silent for longer is lost
};

pub_sub_adapter_spec redis_adapter(redis_options options = {});

}  // namespace roost
