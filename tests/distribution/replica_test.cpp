// Copies of replicated tables without processes: a simulated network between them, simulated
// clocks.
#include "runtime/distribution/replica_sync.hpp"
#include "tests/support.hpp"
#include <map>
#include <random>
#include <set>

using namespace roost;
using namespace roost::test;
using detail::hybrid_clock;
using detail::replica_message;
using detail::replica_packet;
using detail::replica_sync;

namespace {

struct note {
  int id = 0;
  std::string text = {};
  int reads = 0;
  bool operator==(const note&) const = default;
};
using notes = replicated_ets<note, &note::id>;

/// A counter that only grows: each node counts for itself.
struct tally {
  std::string name;
  std::map<std::string, std::uint64_t> counts = {};
  bool operator==(const tally&) const = default;
  std::uint64_t sum() const {
    std::uint64_t sum = 0;
    for (auto& [node, count] : counts) sum += count;
    return sum;
  }
};
using tallies = replicated_ets<tally, &tally::name>;

tally merge_tallies(const tally& a, const tally& b) {
  auto both = a;
  for (auto& [node, count] : b.counts) both.counts[node] = std::max(both.counts[node], count);
  return both;
}

template <class Table>
struct row_key;
template <class Row, auto Key, ets::kind Kind>
struct row_key<replicated_ets<Row, Key, Kind>> {
  using rows = detail::typed_rows<Row, Key, Kind>;
  static auto of(const Row& row) { return row.*Key; }
};

/// Nodes with a copy of one table each, and the messages between them.
template <class Table>
class cluster {
 public:
  using row = typename Table::row_type;
  using rows = typename row_key<Table>::rows;
  using merge_function = std::function<row(const row&, const row&)>;

  struct settings {
    merge_function merge = {};
    double loss = 0;       // of a message
    double twice = 0;      // that it arrives twice
    bool in_order = true;  // or any message may arrive next
    replica_sync::limits limits = {};
    std::chrono::milliseconds tombstone_ttl = 24h;
    std::uint64_t seed = 1;
  };

  class copy final : public replica_sync::world {
   public:
    copy(cluster& cluster, std::string name, std::int64_t clock_error)
        : clock_error(clock_error), name_(std::move(name)), cluster_(cluster) {
      process = pid{++cluster.last_pid_, 1};
      auto core = detail::ets_table::create(Table::plain_table::type(), {.access = ets::public_});
      auto typed = std::make_shared<rows>(core, cluster.settings_.merge);
      replica = std::make_shared<detail::replica>(
          typed,
          detail::replica_settings{"notes", ets::public_, cluster.settings_.tombstone_ttl, 30s},
          detail::replica_hash(name_) + process.id, clock);
      replica->on_change([this] { ++wakes; });
      table = Table(detail::found_replica{replica, typed});
      sync.emplace(*replica, process, *this, cluster.settings_.limits);
    }

    bool send(pid to, replica_packet packet) override {
      cluster_.post(*this, to, std::move(packet));
      return true;
    }
    void send_to_node(const std::string& node, replica_packet packet) override {
      if (auto* other = cluster_.find(node))
        cluster_.post(*this, other->process, std::move(packet));
    }
    void watch(pid watched) override { this->watched.insert(watched); }
    std::chrono::milliseconds now() override { return cluster_.time_; }
    std::string this_node() override { return name_; }

    const std::string& name() const { return name_; }

    pid process;
    std::int64_t clock_error;  // milliseconds that its wall clock is off
    hybrid_clock clock{
        [this] {
          return static_cast<std::uint64_t>(
              1'700'000'000'000 + cluster_.time_.count() + clock_error);
        },
        [this] { return static_cast<std::uint32_t>(cluster_.time_.count() / 1000); }};
    std::shared_ptr<detail::replica> replica;
    Table table;
    std::optional<replica_sync> sync;
    std::set<pid> watched;
    int wakes = 0;

   private:
    std::string name_;
    cluster& cluster_;
  };

  explicit cluster(std::size_t size, settings settings = {})
      : random(settings.seed), settings_(std::move(settings)) {
    for (std::size_t i = 0; i < size; ++i) {
      copies_.push_back(
          std::make_unique<copy>(*this, std::string(1, static_cast<char>('a' + i)) + "@host", 0));
      sides_.push_back(0);
    }
    for (auto& one : copies_) greet(*one);
  }

  copy& operator[](std::size_t i) { return *copies_[i]; }
  std::size_t size() const { return copies_.size(); }
  std::size_t in_flight() const { return flying_.size(); }
  std::uint64_t sent() const { return sent_; }
  std::size_t largest() const { return largest_; }
  std::size_t most_in_flight() const { return most_in_flight_; }
  void set_loss(double loss) { settings_.loss = loss; }
  void calm_down() { settings_.loss = settings_.twice = 0; }
  void hold_back(std::string node) { held_back_ = std::move(node); }

  /// Lets one message arrive, or get lost. Answers whether there was any.
  bool step() {
    auto can_arrive = [&](const flight& one) {
      auto* to = find(one.to);
      return to == nullptr || to->name() != held_back_;
    };
    std::vector<std::size_t> ready;
    std::set<std::pair<pid, pid>> pairs;
    for (std::size_t i = 0; i < flying_.size(); ++i) {
      auto& one = flying_[i];
      bool is_first = pairs.emplace(one.packet.from, one.to).second;
      if (can_arrive(one) && (is_first || !settings_.in_order)) ready.push_back(i);
      if (ready.size() == 16) break;
    }
    if (ready.empty()) return false;
    auto at = ready[random() % ready.size()];
    auto one = flying_[at];
    if (!happens(settings_.twice)) flying_.erase(flying_.begin() + static_cast<std::ptrdiff_t>(at));
    if (!happens(settings_.loss)) arrive(std::move(one));
    return true;
  }

  /// Everything that is written is sent, and everything that is sent arrives.
  void settle() {
    for (auto& one : copies_) one->sync->flush();
    while (step()) {
    }
  }

  void tick(std::chrono::milliseconds time = 30s) {
    time_ += time;
    for (auto& one : copies_) {
      one->sync->tick();
      for (auto& other : copies_)
        if (can_reach(*one, *other) && !knows(*one, *other)) one->sync->node_up(other->name());
      for (std::size_t i = 0; i < detail::replica_shards; ++i) one->sync->purge(i);
    }
  }

  /// Puts every node on a side; those on different sides lose each other.
  void split(std::vector<int> sides) {
    sides_ = std::move(sides);
    std::erase_if(flying_, [&](auto& one) {
      auto* from = find(one.packet.from);
      auto* to = find(one.to);
      return from == nullptr || to == nullptr || !can_reach(*from, *to);
    });
    for (auto& one : copies_)
      for (auto& other : copies_)
        if (!can_reach(*one, *other)) lose(*one, other->process);
  }
  void heal() {
    sides_.assign(size(), 0);
    for (auto& one : copies_)
      for (auto& other : copies_)
        if (!knows(*one, *other)) one->sync->node_up(other->name());
  }

  /// The node is started again with an empty table.
  void restart(std::size_t i) {
    auto gone = copies_[i]->process;
    auto name = copies_[i]->name();
    auto clock_error = copies_[i]->clock_error;
    std::erase_if(flying_, [&](auto& one) { return one.to == gone || one.packet.from == gone; });
    for (auto& other : copies_) lose(*other, gone);
    copies_[i] = std::make_unique<copy>(*this, name, clock_error);
    greet(*copies_[i]);
  }

  std::map<std::string, row> content(std::size_t i) {
    std::map<std::string, row> all;
    copies_[i]->table.for_each(
        [&](const row& one) { all.emplace(to_text(row_key<Table>::of(one)), one); });
    return all;
  }
  bool is_equal() {
    for (std::size_t i = 1; i < size(); ++i)
      if (content(i) != content(0)) return false;
    return true;
  }

  std::mt19937_64 random;

 private:
  struct flight {
    pid to;
    replica_packet packet;
  };

  bool happens(double chance) {
    return chance > 0 && std::uniform_real_distribution<>(0, 1)(random) < chance;
  }
  copy* find(pid process) {
    for (auto& one : copies_)
      if (one && one->process == process) return one.get();
    return nullptr;
  }
  copy* find(const std::string& name) {
    for (auto& one : copies_)
      if (one && one->name() == name) return one.get();
    return nullptr;
  }
  bool can_reach(const copy& a, const copy& b) const { return side_of(a) == side_of(b); }
  int side_of(const copy& one) const {
    for (std::size_t i = 0; i < copies_.size(); ++i)
      if (copies_[i].get() == &one) return sides_[i];
    return 0;
  }
  static bool knows(copy& one, copy& other) {
    if (&one == &other) return true;
    for (auto& peer : one.sync->peers())
      if (peer.node == other.name()) return true;
    return false;
  }
  void greet(copy& one) {
    for (auto& other : copies_)
      if (other.get() != &one && can_reach(one, *other)) {
        one.sync->node_up(other->name());
        other->sync->node_up(one.name());
      }
  }
  void lose(copy& one, pid other) {
    if (one.watched.erase(other) != 0) one.sync->process_down(other);
  }

  void post(copy& from, pid to, replica_packet packet) {
    auto* receiver = find(to);
    if (receiver == nullptr || !can_reach(from, *receiver)) return;
    ++sent_;
    if (auto* batch = std::get_if<replica_message::batch>(&packet.what))
      largest_ = std::max(largest_, batch->entries.size());
    flying_.push_back({to, std::move(packet)});
    most_in_flight_ = std::max(most_in_flight_, flying_.size());
  }
  void arrive(flight one) {
    auto* to = find(one.to);
    auto* from = find(one.packet.from);
    if (to == nullptr || from == nullptr) return;
    // As on a link.
    detail::wire_buffer bytes;
    detail::wire_writer out{bytes};
    detail::encode(out, one.packet.what);
    detail::wire_reader in{bytes.view()};
    replica_packet read{one.packet.from, {}};
    detail::decode(in, read.what);
    to->sync->receive(from->name(), std::move(read));
  }

  settings settings_;
  std::chrono::milliseconds time_{1h};
  std::uint64_t last_pid_ = 0;
  std::uint64_t sent_ = 0;
  std::size_t largest_ = 0;
  std::size_t most_in_flight_ = 0;
  std::string held_back_;
  std::vector<std::unique_ptr<copy>> copies_;
  std::vector<int> sides_;
  std::deque<flight> flying_;
};

template <class Table>
void write_something(cluster<Table>& all);

template <>
void write_something(cluster<notes>& all) {
  auto& at = all[all.random() % all.size()];
  auto key = static_cast<int>(all.random() % 12);
  switch (all.random() % 6) {
    case 0:
      at.table.erase(key);
      break;
    case 1:
      at.table.update_counter(key, &note::reads, 1, note{key});
      break;
    case 2:
      at.table.insert_new({key, "new", static_cast<int>(all.random() % 1000)});
      break;
    default:
      at.table.insert({key, at.name(), static_cast<int>(all.random() % 1000)});
  }
}

template <>
void write_something(cluster<tallies>& all) {
  auto& at = all[all.random() % all.size()];
  auto key = "t" + std::to_string(all.random() % 5);
  if (all.random() % 8 == 0)
    at.table.erase(key);
  else if (!at.table.update(key, [&](tally& one) { ++one.counts[at.name()]; }))
    at.table.insert({key, {{at.name(), 1}}});
}

/// A story of writes, losses, splits and restarts; then peace.
template <class Table>
void live_through(std::uint64_t seed, typename cluster<Table>::merge_function merge) {
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  typename cluster<Table>::settings settings;
  settings.seed = seed;
  settings.merge = std::move(merge);
  settings.loss = random() % 2 == 0 ? 0 : 0.2;
  settings.twice = random() % 2 == 0 ? 0 : 0.2;
  settings.in_order = random() % 2 == 0;
  settings.limits = {.batch_entries = 3, .part_entries = 4, .window = 2, .log = 16};
  cluster<Table> all(3 + random() % 3, settings);
  for (int i = 0; i < 150; ++i) {
    auto what = random() % 100;
    if (what < 40) {
      write_something(all);
    } else if (what < 55) {
      all[random() % all.size()].sync->flush();
    } else if (what < 90) {
      for (int n = 0; n < 5; ++n) all.step();
    } else if (what < 93) {
      std::vector<int> sides;
      for (std::size_t n = 0; n < all.size(); ++n) sides.push_back(static_cast<int>(random() % 2));
      all.split(sides);
    } else if (what < 96) {
      all.heal();
    } else if (what < 97) {
      all.restart(random() % all.size());
    } else if (what < 98) {
      all[random() % all.size()].clock_error = static_cast<int>(random() % 100'000) - 50'000;
    } else {
      all.tick();
    }
  }
  all.calm_down();
  all.heal();
  all.settle();
  int ticks = 0;
  for (; ticks < 8 && !all.is_equal(); ++ticks) {
    all.tick();
    all.settle();
  }
  REQUIRE(all.is_equal());
  // And equal copies have nothing more to say than that they are.
  for (int i = 0; i < 3; ++i) {
    all.tick();
    all.settle();
  }
  auto before = all.sent();
  all.tick();
  all.settle();
  CHECK(all.sent() - before <= all.size() * (all.size() - 1));
  for (std::size_t i = 1; i < all.size(); ++i)
    CHECK(all[i].replica->summary().digest == all[0].replica->summary().digest);
}

}  // namespace

// --- the clock -----------------------------------------------------------------------------------

TEST_CASE("a hybrid clock never runs backwards") {
  std::uint64_t wall = 1000;
  hybrid_clock clock{[&] { return wall; }, [] { return 0U; }};
  auto first = clock.next();
  CHECK(hybrid_clock::milliseconds_of(first) == 1000);
  wall = 500;
  auto second = clock.next();
  CHECK(second > first);
  clock.observe(hybrid_clock::milliseconds_of(second) * 2 << hybrid_clock::counter_bits);
  auto third = clock.next();
  CHECK(hybrid_clock::milliseconds_of(third) == 2000);
  wall = 3000;
  CHECK(hybrid_clock::milliseconds_of(clock.next()) == 3000);
}

TEST_CASE("a hybrid clock that counts over 65,535 goes on") {
  hybrid_clock clock{[] { return std::uint64_t{7}; }, [] { return 0U; }};
  auto last = clock.next();
  for (int i = 0; i < 70'000; ++i) {
    auto next = clock.next();
    REQUIRE(next > last);
    last = next;
  }
  CHECK(hybrid_clock::milliseconds_of(last) == 8);
}

// --- the last writer wins ------------------------------------------------------------------------

TEST_CASE("a row that is written on one node is on the others") {
  cluster<notes> all(3);
  all.settle();
  all[0].table.insert({1, "hello"});
  all[1].table.insert({2, "world"});
  CHECK(all[0].wakes == 1);
  all.settle();
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(all[i].table.lookup(1) == note{1, "hello"});
    CHECK(all[i].table.lookup(2) == note{2, "world"});
  }
  CHECK(all[2].table.erase(1));
  all.settle();
  for (std::size_t i = 0; i < 3; ++i) CHECK(all[i].table.size() == 1);
}

TEST_CASE("of two writes at the same time the same one wins on all nodes") {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    cluster<notes> all(3, {.in_order = false, .seed = seed});
    all.settle();
    for (std::size_t i = 0; i < 3; ++i) all[i].table.insert({1, all[i].name()});
    all.settle();
    REQUIRE(all.is_equal());
    // Their clocks are equal: the hash of the name decides.
    auto winner = all[0].table.lookup(1)->text;
    for (std::size_t i = 0; i < 3; ++i)
      CHECK(detail::replica_hash(winner) >= detail::replica_hash(all[i].name()));
  }
}

TEST_CASE("the later clock wins between writes that did not know of each other") {
  cluster<notes> all(2);
  all.settle();
  all[0].clock_error = 5000;
  all[0].table.insert({1, "from the later clock"});
  all[1].table.insert({1, "from the earlier clock"});
  all.settle();
  CHECK(all[0].table.lookup(1)->text == "from the later clock");
  CHECK(all.is_equal());
}

TEST_CASE("who has seen a row writes after it, however late its own clock is") {
  cluster<notes> all(2);
  all.settle();
  all[0].clock_error = 3'600'000;
  all[0].table.insert({1, "from the future"});
  all.settle();
  all[1].table.insert({1, "from the present"});
  all.settle();
  CHECK(all[0].table.lookup(1)->text == "from the present");
  CHECK(all.is_equal());
}

TEST_CASE("a clock that jumps back does not lose its node's later writes") {
  cluster<notes> all(2);
  all.settle();
  all[0].table.insert({1, "before"});
  all[0].clock_error = -3'600'000;
  all[0].table.insert({1, "after"});
  all[0].table.insert({2, "x"});
  CHECK(all[0].table.erase(2));
  all.settle();
  CHECK(all[1].table.lookup(1)->text == "after");
  CHECK_FALSE(all[1].table.member(2));
}

TEST_CASE("a clock that is years ahead is not believed") {
  log_capture log;
  cluster<notes> all(2);
  all.settle();
  all[0].clock_error = 400LL * 24 * 3600 * 1000;
  all[0].table.insert({1, "from 2025"});
  all.settle();
  CHECK_FALSE(all[1].table.member(1));
  CHECK(hybrid_clock::milliseconds_of(all[1].clock.next()) < 1'800'000'000'000);
}

TEST_CASE("a row that is written many times is sent once") {
  cluster<notes> all(2);
  all.settle();
  auto before = all.sent();
  for (int i = 0; i < 1000; ++i) all[0].table.insert({1, "again", i});
  all.settle();
  CHECK(all.sent() - before == 2);  // a batch, and that it was taken
  CHECK(all[1].table.lookup(1)->reads == 999);
}

TEST_CASE("changes of a replicated row behave as those of ets") {
  cluster<notes> all(1);
  auto& table = all[0].table;
  CHECK(table.insert_new({1, "one"}));
  CHECK_FALSE(table.insert_new({1, "two"}));
  CHECK(table.update_counter(1, &note::reads) == 1);
  CHECK(table.update_counter(1, &note::reads, 5) == 6);
  CHECK(table.update_counter(2, &note::reads, 3, note{0, "fresh"}) == 3);
  CHECK(table.lookup(2) == note{2, "fresh", 3});
  CHECK_THROWS_AS(table.update_counter(9, &note::reads), std::invalid_argument);
  CHECK_THROWS_AS(
      table.update_counter(1, &note::reads, std::numeric_limits<int>::max()), std::overflow_error);
  CHECK(table.update_element(1, &note::text, "changed"));
  CHECK_FALSE(table.update_element(9, &note::text, "changed"));
  CHECK_THROWS_AS(table.update(1, [](note& one) { one.id = 7; }), std::invalid_argument);
  CHECK(table.lookup_element(1, &note::text) == "changed");
  CHECK(table.take(1) == note{1, "changed", 6});
  CHECK(table.take(1) == std::nullopt);
  CHECK_FALSE(table.erase(1));
  for (int i = 0; i < 10; ++i) table.insert({i, "", i});
  CHECK(table.select_delete([](const note& one) { return one.reads % 2 == 0; }) == 5);
  CHECK(table.size() == 5);
  table.delete_all_objects();
  CHECK(table.size() == 0);
  CHECK(table.tombstones() == 10);
}

TEST_CASE("an update runs again when its row was changed meanwhile") {
  cluster<notes> all(1);
  auto& table = all[0].table;
  table.insert({1, "", 1});
  int runs = 0;
  CHECK(table.update(1, [&](note& one) {
    if (++runs == 1) table.insert({1, "", 10});
    ++one.reads;
  }));
  CHECK(runs == 2);
  CHECK(table.lookup(1)->reads == 11);
}

// --- copies that were apart ----------------------------------------------------------------------

TEST_CASE("copies that were split become equal when they meet") {
  cluster<notes> all(4);
  all.settle();
  for (int i = 0; i < 100; ++i) all[0].table.insert({i, "both"});
  all.settle();
  all.split({0, 0, 1, 1});
  for (int i = 0; i < 50; ++i) all[1].table.insert({i, "left", i});
  for (int i = 40; i < 70; ++i) all[2].table.insert({i, "right", i});
  all[3].table.erase(99);
  all[0].table.insert({200, "left"});
  all.settle();
  CHECK_FALSE(all.is_equal());
  all.heal();
  all.settle();
  CHECK(all.is_equal());
  CHECK(all[0].table.size() == 100);  // one erased, one added
}

TEST_CASE("a node that starts again gets everything back") {
  cluster<notes> all(3);
  all.settle();
  for (int i = 0; i < 5000; ++i) all[0].table.insert({i, "row"});
  all[0].table.erase(17);
  all.settle();
  all.restart(0);
  all.settle();
  CHECK(all[0].table.size() == 4999);
  CHECK(all.is_equal());
  // The erasure came with it.
  CHECK(all[0].table.tombstones() == 1);
}

TEST_CASE("a comparison of equal copies is two messages") {
  cluster<notes> all(2);
  all.settle();
  for (int i = 0; i < 1000; ++i) all[0].table.insert({i, "row"});
  all.settle();
  auto before = all.sent();
  all.tick();
  all.settle();
  CHECK(all.sent() - before == 2);
}

TEST_CASE("what got lost is found by comparing") {
  cluster<notes> all(2);
  all.settle();
  for (int i = 0; i < 1000; ++i) all[0].table.insert({i, "row"});
  all.settle();
  all.set_loss(1);
  all[0].table.insert({1, "lost"});
  all[0].table.erase(2);
  all.settle();
  all.set_loss(0);
  CHECK_FALSE(all.is_equal());
  auto before = all.sent();
  all.tick();  // nothing has moved since: it starts over
  all.settle();
  all.tick();
  all.settle();
  CHECK(all.is_equal());
  CHECK(all.sent() - before < 30);
}

TEST_CASE("a large table travels in small messages, few of them at a time") {
  cluster<notes> all(
      1, {.limits = {.batch_bytes = 4096, .batch_entries = 100, .part_entries = 200}});
  for (int i = 0; i < 30'000; ++i)
    all[0].table.insert({i, "some text for row " + std::to_string(i)});
  cluster<notes> both(
      2, {.limits = {.batch_bytes = 4096, .batch_entries = 100, .part_entries = 200}});
  for (int i = 0; i < 30'000; ++i)
    both[0].table.insert({i, "some text for row " + std::to_string(i)});
  both.settle();
  CHECK(both[1].table.size() == 30'000);
  CHECK(both.largest() < 4096 + 100);
  CHECK(both.most_in_flight() < 20);
}

TEST_CASE("a copy that takes nothing costs the others no memory") {
  cluster<notes> all(3, {.limits = {.batch_entries = 10, .log = 50}});
  all.settle();
  all.hold_back("c@host");
  for (int i = 0; i < 10'000; ++i) {
    all[0].table.insert({i, "row"});
    if (i % 10 == 0) all.settle();
  }
  all.settle();
  CHECK(all[1].table.size() == 10'000);
  CHECK(all[2].table.size() == 0);
  CHECK(all.in_flight() < 20);
  for (auto& peer : all[0].sync->peers()) CHECK(peer.unsent <= 50);
  all.tick();
  all.tick();
  CHECK(all.in_flight() < 30);
  all.hold_back("");
  all.settle();
  all.tick();
  all.settle();
  CHECK(all.is_equal());
}

TEST_CASE("a table of another type is not mixed with this one") {
  log_capture log;
  cluster<notes> all(2);
  all.settle();
  replica_message::hello hello{
      .rows = "something_else", .merges = false, .is_answer = false, .seen = {}};
  auto before = all.sent();
  all[0].sync->receive("z@host", {pid{99, 1}, hello});
  all[0].sync->receive("z@host", {pid{99, 1}, replica_message::hello{"note", true, false, {}}});
  CHECK(all.sent() == before);
  CHECK(all[0].sync->peers().size() == 1);
}

TEST_CASE("malformed rows are skipped, the rest of their batch is taken") {
  log_capture log;
  cluster<notes> all(2);
  all.settle();
  detail::wire_buffer bytes;
  detail::wire_writer out{bytes};
  auto entry = [&](std::uint8_t kind, std::string_view value) {
    out.fixed64(all[1].clock.next());
    out.fixed64(1);
    out.varint(0);
    out.byte(kind);
    if (kind == 1)
      out.text(value);
    else
      out.fixed32(static_cast<std::uint32_t>(value.size())), out.raw(value);
  };
  entry(0, "not a row, surely");
  entry(1, std::string_view("\x80\x00", 2));  // a number that is longer than it has to be
  detail::wire_buffer row;
  detail::wire_writer row_out{row};
  detail::encode(row_out, note{5, "good", 1});
  entry(0, row.view());
  auto good = std::string(bytes.view());
  all[0].sync->receive("b@host", {all[1].process, replica_message::batch{1, 1, good + "rest"}});
  CHECK(all[0].table.size() == 1);
  CHECK(all[0].table.lookup(5) == note{5, "good", 1});
  CHECK(all[0].table.tombstones() == 0);
  // Every part of a batch is safe to read.
  for (std::size_t i = 0; i < good.size(); ++i)
    all[0].sync->receive(
        "b@host", {all[1].process, replica_message::batch{1, 1, good.substr(0, i)}});
  CHECK_THROWS_AS(
      all[0].sync->receive(
          "b@host", {all[1].process, replica_message::describe{1, 1, 0, 9, "short"}}),
      decode_error);
}

// --- tombstones ----------------------------------------------------------------------------------

TEST_CASE("tombstones go when every node has been told") {
  cluster<notes> all(3);
  all.settle();
  for (int i = 0; i < 100; ++i) all[0].table.insert({i, "row"});
  all.settle();
  all[0].table.delete_all_objects();
  all.settle();
  CHECK(all[1].table.tombstones() == 100);
  for (int i = 0; i < 30; ++i) {
    all.tick();
    all.settle();
  }
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(all[i].table.tombstones() == 0);
    CHECK(all[i].table.size() == 0);
  }
}

TEST_CASE("tombstones wait for a node that is away") {
  cluster<notes> all(3);
  all.settle();
  for (int i = 0; i < 100; ++i) all[0].table.insert({i, "row"});
  all.settle();
  all.split({0, 0, 1});
  all[0].table.delete_all_objects();
  all.settle();
  for (int i = 0; i < 200; ++i) {
    all.tick();
    all.settle();
  }
  CHECK(all[1].table.tombstones() == 100);
  // Also in one that was started again meanwhile.
  all.restart(1);
  for (int i = 0; i < 200; ++i) {
    all.tick();
    all.settle();
  }
  CHECK(all[1].table.tombstones() == 100);
  CHECK(all[2].table.size() == 100);
  all.heal();
  all.settle();
  for (std::size_t i = 0; i < 3; ++i) CHECK(all[i].table.size() == 0);
  for (int i = 0; i < 40; ++i) {
    all.tick();
    all.settle();
  }
  for (std::size_t i = 0; i < 3; ++i) CHECK(all[i].table.tombstones() == 0);
}

TEST_CASE("nodes that have never seen the one that is away hear of it from others") {
  cluster<notes> all(4);
  all.settle();
  for (int i = 0; i < 100; ++i) all[0].table.insert({i, "row"});
  all.settle();
  all.split({0, 0, 1, 0});
  all[0].table.select_delete([](const note& one) { return one.id < 50; });
  all.settle();
  // Each is started again, one after the other: none of them has seen the third node itself.
  for (std::size_t i : {0, 1, 3}) {
    all.restart(i);
    all.settle();
    for (int n = 0; n < 50; ++n) {
      all.tick();
      all.settle();
    }
  }
  CHECK(all[0].table.tombstones() == 50);
  all.heal();
  all.settle();
  for (std::size_t i = 0; i < 4; ++i) CHECK(all[i].table.size() == 50);
}

TEST_CASE("after tombstone_ttl a node that was away brings back what was erased") {
  cluster<notes> all(2, {.tombstone_ttl = 1h});
  all.settle();
  all[0].table.insert({1, "row"});
  all[0].table.insert({2, "row"});
  all.settle();
  all.split({0, 1});
  all[0].table.erase(1);
  all.tick(30min);
  CHECK(all[0].table.tombstones() == 1);
  all.tick(31min);
  CHECK(all[0].table.tombstones() == 0);
  all.heal();
  all.settle();
  CHECK(all.is_equal());
  CHECK(all[0].table.member(1));
}

// --- merging -------------------------------------------------------------------------------------

TEST_CASE("a counter of one field for each node loses no step") {
  cluster<tallies> all(3, {.merge = merge_tallies});
  all.settle();
  auto count = [&](std::size_t i) {
    auto& at = all[i];
    if (!at.table.update("hits", [&](tally& one) { ++one.counts[at.name()]; }))
      at.table.insert({"hits", {{at.name(), 1}}});
  };
  all.split({0, 1, 2});
  for (std::size_t i = 0; i < 3; ++i)
    for (int n = 0; n < 100; ++n) count(i);
  all.heal();
  all.settle();
  all.tick();
  all.settle();
  CHECK(all.is_equal());
  for (std::size_t i = 0; i < 3; ++i) CHECK(all[i].table.lookup("hits")->sum() == 300);
}

TEST_CASE("where the last writer wins, counting at the same time loses steps") {
  cluster<notes> all(2);
  all.settle();
  for (std::size_t i = 0; i < 2; ++i)
    for (int n = 0; n < 100; ++n) all[i].table.update_counter(1, &note::reads, 1, note{1});
  all.settle();
  CHECK(all.is_equal());
  CHECK(all[0].table.lookup(1)->reads == 100);
}

TEST_CASE("a row is merged with what is there, also by its own node") {
  cluster<tallies> all(2, {.merge = merge_tallies});
  all.settle();
  all[0].table.insert({"x", {{"a", 5}}});
  all[0].table.insert({"x", {{"a", 3}, {"b", 1}}});
  CHECK(all[0].table.lookup("x") == tally{"x", {{"a", 5}, {"b", 1}}});
  all.settle();
  CHECK(all[1].table.lookup("x") == tally{"x", {{"a", 5}, {"b", 1}}});
}

TEST_CASE("a row that was erased and written again is not merged with its former life") {
  cluster<tallies> all(2, {.merge = merge_tallies});
  all.settle();
  all[0].table.insert({"x", {{"a", 5}}});
  all.settle();
  CHECK(all[0].table.erase("x"));
  all[0].table.insert({"x", {{"a", 1}}});
  all.settle();  // the two are sent as one
  CHECK(all[1].table.lookup("x") == tally{"x", {{"a", 1}}});
  CHECK(all.is_equal());
}

TEST_CASE("a merged row that is written later than it is erased elsewhere stays") {
  cluster<tallies> all(2, {.merge = merge_tallies});
  all.settle();
  all[0].table.insert({"x", {{"a", 5}}});
  all.settle();
  all[1].table.erase("x");
  all[0].clock_error = 10;
  all[0].table.insert({"x", {{"b", 1}}});
  all.settle();
  CHECK(all.is_equal());
  CHECK(all[1].table.lookup("x")->counts.at("b") == 1);
}

TEST_CASE("check_merge names the law that a function breaks") {
  std::vector<tally> samples;
  for (std::uint64_t a = 0; a < 3; ++a)
    for (std::uint64_t b = 0; b < 3; ++b) samples.push_back({"x", {{"a", a}, {"b", b}}});
  CHECK(check_merge(merge_tallies, samples) == std::nullopt);
  auto sum = [](const tally& a, const tally& b) {
    auto both = a;
    for (auto& [node, count] : b.counts) both.counts[node] += count;
    return both;
  };
  CHECK(check_merge(sum, samples)->starts_with("idempotent"));
  auto first = [](const tally& a, const tally&) { return a; };
  CHECK(check_merge(first, samples)->starts_with("commutative"));
  // The middle one of three is no merge: it depends on how they are grouped.
  std::vector<note> notes{{1, "", 1}, {1, "", 2}, {1, "", 4}};
  auto average = [](const note& a, const note& b) {
    return note{1, "", (a.reads + b.reads + 1) / 2};
  };
  CHECK(check_merge(average, notes)->starts_with("associative"));
}

TEST_CASE("a merge function that breaks the laws is told of and does not make rows fly for ever") {
  log_capture log;
  auto sum = [](const tally& a, const tally& b) {
    auto both = a;
    for (auto& [node, count] : b.counts) both.counts[node] += count;
    return both;
  };
  cluster<tallies> all(2, {.merge = sum});
  all.settle();
  all[0].table.insert({"x", {{"a", 5}}});
  all[1].table.insert({"x", {{"b", 7}}});
  CHECK_THROWS_AS(all[1].table.insert({"x", {{"b", 1}}}), std::logic_error);
  for (int i = 0; i < 5; ++i) {
    all.settle();
    all.tick();
  }
  CHECK(all.is_equal());
  CHECK(all.sent() < 100);
}

TEST_CASE("a merged pair of rows is the same in any order, however often it is heard of") {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    cluster<tallies> all(
        3, {.merge = merge_tallies, .twice = 0.3, .in_order = false, .seed = seed});
    all.settle();
    for (std::size_t i = 0; i < 3; ++i)
      all[i].table.insert({"x", {{all[i].name(), all.random() % 5}, {"all", all.random() % 5}}});
    auto expected = merge_tallies(
        merge_tallies(*all[0].table.lookup("x"), *all[1].table.lookup("x")),
        *all[2].table.lookup("x"));
    all.settle();
    REQUIRE(all.is_equal());
    CHECK(all[0].table.lookup("x") == expected);
  }
}

// --- random histories ----------------------------------------------------------------------------

TEST_CASE("a thousand histories end with equal copies: the last writer wins") {
  log_capture log;
  for (std::uint64_t seed = 1; seed <= 1000; ++seed) live_through<notes>(seed, {});
}

TEST_CASE("a thousand histories end with equal copies: merged rows") {
  log_capture log;
  for (std::uint64_t seed = 1; seed <= 1000; ++seed) live_through<tallies>(seed, merge_tallies);
}
