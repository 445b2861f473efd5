// private: what a scope of process groups knows and says. Pure: what happens is told to it, and
// what it wants done it asks of its `effects`; pg.cpp has the process around it and tells the
// protocol.
//
// Thread safety: one thread at a time.
#pragma once
#include "runtime/pid.hpp"
#include <boost/unordered/unordered_flat_map.hpp>
#include <map>
#include <set>
#include <vector>

namespace roost::detail {

// --- what the scopes of different nodes tell each other -----------------------------------------

/// Members of one group, each with the number of times that it has joined; 0: it has left.
struct pg_rows {
  std::string group;
  std::vector<pid> processes;
  std::vector<std::uint32_t> counts;  // empty: once each
};

struct pg_packet {
  static constexpr std::string_view wire_name = "roost.pg";
  enum class kind : std::uint8_t {
    discover,  // asks for all members of the receiver's node, and for what becomes of them
    part,      // a piece of the answer
    taken,     // a piece has come: the next ones may be sent
    update,    // what has changed among the members that the receiver has been told of
  };

  enum kind kind = kind::discover;
  pid scope;               // who sends it
  std::uint64_t life = 0;  // what the asking node knows of the asked one; see pg.cpp
  std::uint32_t index = 0;
  bool last = false;
  std::vector<pg_rows> groups = {};
};

// --- one scope ----------------------------------------------------------------------------------

struct pg_change {
  pid process;
  std::uint32_t before = 0;
  std::uint32_t after = 0;
};

class pg_state {
 public:
  /// Whether the table of members, which everybody reads, has to be told of a change.
  enum class store { yes, no };

  class effects {
   public:
    effects() = default;
    effects(const effects&) = delete;
    effects& operator=(const effects&) = delete;
    virtual ~effects() = default;

    virtual void send(pid scope, pg_packet packet) = 0;
    /// To whichever process is the scope of that node.
    virtual void send_to_node(const std::string& node, pg_packet packet) = 0;
    virtual reference monitor(pid process) = 0;
    virtual void demonitor(reference ref) = 0;
    virtual void changed(
        const std::string& group, const std::vector<pg_change>& changes, store store) = 0;
    /// Asks for a call of flush() when what has come by now has been handled.
    virtual void flush_soon() = 0;
  };

  struct limits {
    std::size_t members = 512;      // of a packet
    std::size_t bytes = 32 * 1024;  // of a packet, roughly
    unsigned window = 4;            // packets that may be on their way to a node that asks for all
  };

  pg_state(pid self, effects& effects) : pg_state(self, effects, limits()) {}
  pg_state(pid self, effects& effects, limits limits)
      : self_(self), effects_(effects), limits_(limits) {}

  // --- what happens
  void node_up(const std::string& node);
  void node_down(const std::string& node);
  /// A monitor fired. `lost`: because there is no connection any more.
  void down(reference ref, bool lost);
  void receive(const std::string& node, pg_packet packet);
  /// Processes of this node are in the group so many times now.
  void set_local(const pg_rows& rows);
  void flush();

  // --- what is known
  std::vector<pid> members(const std::string& group) const;
  std::map<std::string, std::vector<pid>> groups() const;

 private:
  using rows = boost::unordered_flat_map<pid, std::uint32_t, std::hash<pid>>;

  /// How far a node that has asked has been told: up to and with this member.
  struct position {
    std::string group;
    pid process;
  };

  /// Another node.
  struct peer {
    // What this node knows of it.
    std::uint64_t life = 0;
    pid scope;  // nobody: it has not been heard of
    reference monitor;
    std::uint32_t next_part = 0;
    std::map<std::string, rows> groups;
    // What it knows of this node.
    std::uint64_t its_life = 0;  // 0: it has not asked
    position told;
    bool told_all = false;
    std::uint32_t next_index = 0;
    unsigned on_their_way = 0;
  };

  struct local_process {
    reference monitor;
    std::set<std::string> groups;
  };

  struct delta {
    std::string group;
    pid process;
    std::uint32_t count = 0;
  };

  void discovered(const std::string& node, pid scope, std::uint64_t life);
  void take_part(peer& peer, const pg_packet& part);
  void take_update(peer& peer, const pg_packet& update);
  void part_taken(peer& peer, std::uint64_t life);
  void store_rows(peer& peer, const pg_rows& rows);
  void ask(const std::string& node, peer& peer);
  void forget(peer& peer);
  void send_parts(peer& peer);
  pg_packet next_part(peer& peer) const;
  static bool knows_of(const peer& peer, const delta& delta);
  std::vector<std::vector<pg_rows>> packed(const peer* peer) const;
  void remove_local(pid process);
  void change_local(const pg_rows& rows, enum store store);
  void note_local(const std::string& group, const pg_change& change);

  pid self_;
  effects& effects_;
  limits limits_;
  std::uint64_t last_life_ = 0;
  std::map<std::string, peer, std::less<>> peers_;  // by node
  std::map<std::string, std::map<pid, std::uint32_t>> local_;
  boost::unordered_flat_map<pid, local_process, std::hash<pid>> processes_;  // of this node
  boost::unordered_flat_map<reference, pid, std::hash<reference>> process_monitors_;
  boost::unordered_flat_map<reference, std::string, std::hash<reference>> peer_monitors_;
  std::vector<delta> outbox_;
  bool flush_asked_ = false;
};

}  // namespace roost::detail
