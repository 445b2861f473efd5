// private: how the copies of a table keep each other up to date. Decides what to send to whom; a
// process (replicated_ets.cpp) or a test carries it out.
//
// Changes go to every other copy in batches. Nothing is sent again on suspicion: what
// gets lost, or what a slow copy has no room for, is found by comparing the two copies, which also
// happens when they meet and then every `sync_interval`.
//
//   A → B  hello      I have this table open; and who else was seen having it. B answers with its
//   own A → B  batch      rows that have changed; at most `window` of them are under way to each
//   copy B → A  taken      … a batch has been applied
//
// A comparison, begun by the node with the lower name when they meet, later by that one again, and
// by either one that has lost count:
//
//   A → B  compare    here is the digest of all my rows
//   B → A  equal      so is mine; or
//   B → A  buckets    mine differs: these are the digests of my 1,024 buckets
//   A → B  describe   for a range of hashes: the versions that I have; one range after the other
//   B → A  want       you have got what you lacked there (in batches); send me these
//   A → B  compared   that was all
//
// So a copy is brought up to date in pieces of some thousand rows, each sent when the one before
// was taken, whatever the size of the table; meanwhile new changes go on in between.
//
// Whoever has not taken a batch for a whole interval gets nothing more until it answers a
// comparison.
//
// A tombstone can go when no copy has the row any more: once each node that was seen in the last
// `tombstone_ttl` has been compared with after it was made, and some minutes more for what may have
// been under way. The nodes that others have seen count too.
//
// Thread safety: one thread at a time.
#pragma once
#include "runtime/distribution/replica.hpp"
#include <deque>
#include <map>
#include <set>

namespace roost::detail {

/// What copies tell each other.
struct replica_message {
  struct seen_node {
    std::string node;
    std::uint64_t ago = 0;  // seconds
  };
  struct hello {
    std::string rows;  // their type
    bool merges = false;
    bool is_answer = false;
    std::vector<seen_node> seen = {};
  };
  struct batch {
    std::uint64_t session = 0;
    std::uint64_t number = 0;
    std::string entries = {};
  };
  struct taken {
    std::uint64_t session = 0;
    std::uint64_t number = 0;
  };
  struct compare {
    std::uint64_t round = 0;
    std::uint64_t digest = 0;
    std::optional<std::uint64_t> erased_digest = {};  // tombstones are compared as well
  };
  struct equal { std::uint64_t round = 0; };
  struct buckets {
    std::uint64_t round = 0;
    std::string summaries =
        {};  // 8 bytes digest, 8 bytes of erased ones, 4 bytes number of entries
  };
  struct describe {
    std::uint64_t round = 0;
    std::uint64_t part = 0;
    std::uint64_t first = 0;
    std::uint64_t last = 0;
    std::string versions = {};  // 8 bytes hash, 8 bytes time, 8 bytes node, number
  };
  struct want {
    std::uint64_t round = 0;
    std::uint64_t part = 0;
    std::string hashes = {};  // 8 bytes each
  };
  struct compared { std::uint64_t round = 0; };
};

struct replica_packet {
  static constexpr std::string_view wire_name = "roost.ets.packet";
  using message = std::variant<
      replica_message::hello, replica_message::batch, replica_message::taken,
      replica_message::compare, replica_message::equal, replica_message::buckets,
      replica_message::describe, replica_message::want, replica_message::compared>;

  pid from;  // who looks after the copy
  message what;
};
static_assert(is_encodable<replica_packet> && is_decodable<replica_packet>);

class replica_sync {
 public:
  struct limits {
    std::size_t batch_bytes = 64 * 1024;
    std::size_t batch_entries = 1000;
    std::size_t part_entries = 2000;  // described at once
    std::uint64_t window = 4;         // batches under way
    std::size_t log = 65'536;         // changes that are remembered for those who are slow
    std::uint32_t grace = 600;        // seconds that a message may be under way
  };

  /// What it needs of the world.
  class world {
   public:
    world() = default;
    world(const world&) = delete;
    world& operator=(const world&) = delete;
    virtual ~world() = default;
    /// Answers false when it cannot be sent at all; what gets lost is another matter.
    virtual bool send(pid to, replica_packet packet) = 0;
    virtual void send_to_node(const std::string& node, replica_packet packet) = 0;
    virtual void watch(pid process) = 0;
    virtual std::chrono::milliseconds now() = 0;
    virtual std::string this_node() = 0;
    virtual void synced(
        const std::string& node, std::chrono::milliseconds took, std::uint64_t sent,
        std::uint64_t received) {
      (void)node, (void)took, (void)sent, (void)received;
    }
  };

  replica_sync(replica& replica, pid self, world& world, limits limits);

  // --- what has happened
  void node_up(const std::string& node);
  void process_down(pid process);
  void receive(const std::string& node, replica_packet packet);
  /// Something was written.
  void flush();
  /// `sync_interval` has passed.
  void tick();
  /// Compares with everybody now.
  void sync_all();
  /// Forgets tombstones that are over: one shard's at a time.
  void purge(std::size_t shard);

  std::vector<replica_peer> peers() const;

 private:
  using milliseconds = std::chrono::milliseconds;

  /// A comparison that this copy has begun.
  struct round {
    std::uint64_t number = 0;
    milliseconds begun{};
    bool with_erased = false;      // the tombstones too
    std::deque<hash_range> parts;  // that come after the present one
    hash_range present;
    std::uint64_t part = 0;
    bool was_answered = false;  // all that was wanted for the present part is in the outbox
  };
  /// What is to be answered to a comparison of the other copy, when the outbox is empty.
  struct answer {
    std::uint64_t round = 0;
    std::uint64_t part = 0;
    std::string hashes;
  };
  struct peer {
    pid process;
    std::string node;
    std::uint64_t session = 0;
    std::uint64_t sent = 0;  // batches
    std::uint64_t taken = 0;
    std::uint64_t log_position = 0;
    std::deque<std::string> outbox;  // keys that the other copy lacks
    std::uint64_t outbox_sent = 0;   // the last batch with any of them
    bool has_missed = false;         // has to be compared with
    bool is_silent = false;          // gets nothing but comparisons until it answers one
    bool has_moved = true;           // since the last tick
    std::optional<round> mine;
    std::optional<answer> theirs;
    std::uint64_t their_round = 0;
    milliseconds their_round_begun{};
    std::uint64_t syncs = 0;
    std::uint64_t entries_sent = 0;
    std::uint64_t entries_taken = 0;
  };
  struct seen_node {
    milliseconds last{};
    milliseconds synced{-1};  // when the last finished comparison was begun; negative: never
  };

  void take(peer* from, const std::string& node, pid process, replica_message::hello& hello);
  void take(peer& from, replica_message::batch& batch);
  void take(peer& from, const replica_message::taken& taken);
  void take(peer& from, const replica_message::compare& compare);
  void take(peer& from, const replica_message::equal& equal);
  void take(peer& from, const replica_message::buckets& buckets);
  void take(peer& from, const replica_message::describe& describe);
  void take(peer& from, const replica_message::want& want);
  void take(peer& from, const replica_message::compared& compared);

  peer* find(pid process);
  void meet(const std::string& node, pid process);
  void forget(pid process);
  void publish();
  void publish_now_and_then();
  replica_packet own_hello(bool is_answer);
  bool send(peer& to, replica_packet::message what);

  void note_changes();
  void trim_log();
  void pump(peer& to);
  bool send_batch(peer& to);
  bool has_drained(const peer& peer) const;
  std::size_t unsent(const peer& peer) const;
  void start_over(peer& peer);

  void begin_round(peer& with);
  bool is_present(const peer& peer, std::uint64_t round) const;
  void next_part(peer& with);
  void finish_round(peer& with);
  void note_synced(peer& with, milliseconds begun);
  std::vector<hash_range> parts_of(
      const std::array<bucket_summary, replica_buckets>& ours,
      const std::array<bucket_summary, replica_buckets>& theirs, bool with_erased) const;

  std::uint32_t told_before();
  static std::uint32_t seconds(milliseconds time) {
    return static_cast<std::uint32_t>(
        std::chrono::duration_cast<std::chrono::seconds>(time).count());
  }

  replica& replica_;
  const pid self_;
  world& world_;
  const limits limits_;
  std::map<pid, peer> peers_;
  std::map<std::string, seen_node> seen_;
  std::deque<replica::change> log_;  // what was written, oldest first
  std::uint64_t log_start_ = 0;      // the position of the first
  std::uint64_t last_number_ = 0;
  milliseconds published_{};
  std::set<std::string> strangers_;  // nodes whose table is another: it has been said
};

}  // namespace roost::detail
