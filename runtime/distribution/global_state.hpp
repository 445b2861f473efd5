// private: what the name server of a node knows and says: names, locks, and how conflicts end.
// Pure: what happens is told to it, and what it wants done it asks of its `effects`; global.cpp has
// the process around it and tells the protocol.
//
// Thread safety: one thread at a time.
#pragma once
#include "runtime/pid.hpp"
#include <chrono>
#include <deque>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <vector>

namespace roost::detail {

struct global_claim {
  std::string name;
  pid process;
  std::string resolver = {};
};

/// What becomes of a process that has lost its name to another one.
enum class global_loss : std::uint8_t { nothing, exit, notify };

enum class global_answer : std::uint8_t {
  granted,
  refused,  // somebody else has the lock
  taken,    // `other` has the name
};

struct global_packet {
  static constexpr std::string_view wire_name = "roost.global";
  enum class kind : std::uint8_t {
    hello,     // asks for all names of the receiver's node, and for what becomes of them
    part,      // a piece of the answer
    received,  // a piece has come: the next ones may be sent
    insert,    // a claim
    remove,    // a claim has ended
    done,      // an insert or remove with an op has been seen
    lock,      // wants the lock
    answer,    // … to that
    unlock,
    verdict,  // the claim of the receiver's node has lost
  };

  enum kind kind = kind::hello;
  pid server;              // who sends it
  std::uint64_t life = 0;  // what the receiver (of hello: the sender) knows of the other one
  std::uint32_t index = 0;
  bool last = false;
  std::vector<global_claim> claims = {};
  std::uint64_t op = 0;
  std::uint64_t attempt = 0;
  bool of_name = false;   // lock, unlock: of a name rather than of a resource of the users'
  bool replaces = false;  // lock, insert: whoever has the name loses it
  std::string resource = {};
  std::string requester = {};
  pid holder = {};
  global_answer answer = global_answer::granted;
  global_loss loss = global_loss::nothing;
  pid other = {};
};

class global_state {
 public:
  using milliseconds = std::chrono::milliseconds;
  enum class outcome { yes, no, timeout };
  static constexpr unsigned forever = std::numeric_limits<unsigned>::max();

  enum class timer_kind { deadline, attempt, retry, commit };
  struct timer {
    timer_kind kind;
    std::uint64_t op = 0;
    std::uint64_t attempt = 0;
  };

  class effects {
   public:
    effects() = default;
    effects(const effects&) = delete;
    effects& operator=(const effects&) = delete;
    virtual ~effects() = default;

    virtual void send(pid server, global_packet packet) = 0;
    /// To whichever process is the name server of that node.
    virtual void send_to_node(const std::string& node, global_packet packet) = 0;
    virtual reference monitor(pid process) = 0;
    virtual reference monitor_server_of(const std::string& node) = 0;
    virtual void demonitor(reference ref) = 0;
    virtual void after(milliseconds delay, timer timer) = 0;
    virtual void answer(std::uint64_t client, outcome outcome) = 0;
    /// The name belongs to the process now; null: to nobody.
    virtual void show(const std::string& name, const global_claim* claim) = 0;
    /// A process of this node has lost its name to `other`.
    virtual void lost(const global_claim& claim, global_loss loss, pid other) = 0;
    /// What the user's function says: nobody when it fails, nothing when there is no such function.
    virtual std::optional<pid> resolve(const global_claim& mine, pid theirs) = 0;
    virtual bool is_alive(pid process) = 0;  // of this node
    /// The same text on every node.
    virtual std::string identity(pid process) = 0;
    virtual std::string this_node() = 0;
    virtual std::uint32_t random(std::uint32_t bound) = 0;
    virtual milliseconds now() = 0;
  };

  struct limits {
    std::size_t claims = 256;       // of a packet
    std::size_t bytes = 32 * 1024;  // of a packet, roughly
    unsigned window = 4;            // packets that may be on their way to a node that asks for all
    milliseconds deadline{10'000};  // for a registration to be agreed on
    milliseconds attempt{3'000};    // for all to answer; then it is tried again
    milliseconds commit{5'000};     // for others to have seen what was agreed on
    milliseconds patience{2'000};   // with names of nodes that this one is not connected to
  };

  global_state(pid self, effects& effects) : global_state(self, effects, limits()) {}
  global_state(pid self, effects& effects, limits limits)
      : self_(self), effects_(effects), limits_(limits) {}

  // --- what happens
  void node_up(const std::string& node);
  void node_down(const std::string& node);
  /// A monitor fired. `lost`: because there is no connection any more.
  void down(reference ref, bool lost);
  void receive(const std::string& node, const global_packet& packet);
  void timer_fired(timer timer);
  /// A name that a process of this node had when the name server was started again.
  void adopt(global_claim claim);

  // --- what is asked of it; the answers come through `effects`
  void register_name(std::uint64_t client, global_claim claim, bool replaces);
  void unregister_name(std::uint64_t client, const std::string& name, pid process);
  struct lock_wish {
    std::string resource;
    std::string requester;
    pid holder;
    std::vector<std::string> nodes;  // names; this one may be among them
    bool everywhere = true;          // on all nodes that are connected instead
    unsigned retries = forever;
  };
  void set_lock(std::uint64_t client, lock_wish wish);
  void del_lock(const lock_wish& wish);
  void sync(std::uint64_t client);

  // --- what is known
  std::size_t lock_count() const { return locks_.size(); }
  std::size_t operation_count() const { return operations_.size(); }
  std::size_t own_count() const { return own_.size(); }

 private:
  using lock_key = std::pair<bool, std::string>;  // of a name?

  struct lock_holder {
    pid process;
    unsigned count = 0;
    reference monitor = {};  // none for name servers
  };
  struct lock {
    std::string requester;
    std::vector<lock_holder> holders;
  };

  struct heard_claim : global_claim {
    bool superseded = false;  // somebody has replaced it, and its own node is about to say so
  };

  /// Another node.
  struct peer {
    // What this node knows of it.
    std::uint64_t life = 0;
    pid server;           // nobody: it has not said hello
    bool absent = false;  // … and there is none
    reference monitor;
    std::uint32_t next_part = 0;
    bool heard_all = false;
    std::map<std::string, heard_claim> claims;
    std::map<std::string, pid> replaced;  // by a name of this node, which it has not confirmed yet
    // What it knows of this node.
    std::uint64_t its_life = 0;  // 0: it has not asked
    std::string told;            // names up to and with this one
    bool told_some = false;
    bool told_all = false;
    std::uint32_t next_index = 0;
    unsigned on_their_way = 0;

    bool is_greeting() const { return !server && !absent; }
    bool knows_of(const std::string& name) const {
      return its_life != 0 && (told_all || (told_some && name <= told));
    }
  };

  struct participant {
    enum class status { idle, asked, granted, lost };
    std::string node;
    pid server;  // nobody: this node
    enum status status = status::idle;
  };

  struct operation {
    enum class kind { name, lock, unregister };
    enum class phase { queued, greeting, locking, pausing, committing };
    enum kind kind = kind::name;
    enum phase phase = phase::queued;
    std::uint64_t id = 0;
    std::uint64_t client = 0;
    std::uint64_t attempt = 0;
    milliseconds began{0};
    std::string requester;
    // a name
    global_claim claim;
    bool replaces = false;
    // a lock
    lock_wish wish;
    reference monitor;  // of who waits for it
    std::vector<participant> participants;
    std::vector<pid> hints;  // other owners of the name, as those say who have granted the lock
    std::set<pid> pending;   // who has not seen the outcome yet
  };

  // peers
  void greet(const std::string& node, peer& peer);
  void forget(const std::string& node, peer& peer);
  void said_hello(const std::string& node, const global_packet& hello);
  void watch(const std::string& node, peer& peer, reference monitor);
  void unwatch(peer& peer);
  void send_parts(peer& peer);
  void take_part(const std::string& node, peer& peer, const global_packet& part);
  void take_claim(const std::string& node, peer& peer, const global_claim& claim, bool replaces);
  bool is_greeting() const;
  void take_removal(peer& peer, const global_claim& claim);
  const peer* find_server(pid server) const;

  // names
  pid owner(const std::string& name);
  bool is_free_of_dead(const std::string& name);
  void set_own(const global_claim& claim);
  global_claim drop_own(const std::string& name);
  std::set<pid> tell(enum global_packet::kind kind, const global_claim& claim, operation* op);
  void show(const std::string& name);
  bool is_before(const global_claim& a, const global_claim& b);
  void settle(const std::string& node, peer& peer, const std::string& name);
  void lose(const std::string& name, global_loss loss, pid other);

  // locks
  std::pair<global_answer, pid> try_lock(const global_packet& wish);
  void unlock(const lock_key& key, const std::string& requester, pid holder);
  void release_all_of(pid holder);

  // operations
  operation* find(std::uint64_t id);
  operation& add(operation op);
  void begin(operation& op);
  void attempt(operation& op);
  global_packet packet_of(const operation& op, enum global_packet::kind kind) const;
  void ask(operation& op, participant& one);
  void answered(
      std::uint64_t id, std::uint64_t attempt, pid server, global_answer answer, pid other);
  void advance(operation& op);
  void release(operation& op);
  void again(operation& op);
  void locked(operation& op);
  void commit(operation& op);
  static void expect_removal(peer& peer, const operation& op);
  void seen(std::uint64_t id, pid server);
  void finish(operation& op, outcome outcome);
  void remove(operation& op);
  void lost_participant(pid server);
  void go_on();

  pid self_;
  effects& effects_;
  limits limits_;
  std::uint64_t last_life_ = 0;
  std::uint64_t last_op_ = 0;
  std::map<std::string, peer, std::less<>> peers_;  // by node
  std::map<reference, std::string> peer_monitors_;

  std::map<std::string, global_claim> own_;
  struct own_process {
    reference monitor;
    std::set<std::string> names;
  };
  std::map<pid, own_process> own_processes_;
  std::map<reference, pid> own_monitors_;

  std::map<lock_key, lock> locks_;
  std::map<reference, std::pair<lock_key, pid>> holder_monitors_;

  std::map<std::uint64_t, operation> operations_;
  std::map<reference, std::uint64_t> waiter_monitors_;
  std::map<std::string, std::deque<std::uint64_t>> queues_;  // by name; the first one is under way
  std::deque<std::uint64_t> ready_;                          // may begin
  std::vector<std::uint64_t> greeting_;                      // wait for nodes that are new
  std::vector<std::uint64_t> syncing_;                       // clients
};

}  // namespace roost::detail
