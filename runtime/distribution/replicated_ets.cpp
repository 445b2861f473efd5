// The process that looks after this node's copy of a replicated table, and the tables by their
// names.
#include "runtime/distribution/replicated_ets.hpp"
#include "runtime/distribution/node.hpp"
#include "runtime/distribution/replica_sync.hpp"
#include "runtime/logger.hpp"
#include "runtime/process_core.hpp"
#include "runtime/telemetry.hpp"
#include <map>
#include <mutex>
#include <random>

namespace roost::detail {
namespace {

using std::chrono::milliseconds;

/// How long changes are gathered before they are sent: what is written again meanwhile is sent
/// once.
constexpr milliseconds gathering{2};

std::string process_of(std::string_view table) { return "roost.ets." + std::string(table); }

/// This node in versions: names decide between equal times. The lower bits tell apart the lives of
/// a node, whose clock may have been set back in between.
std::uint64_t version_node() {
  constexpr std::uint64_t random_bits = 0xFFFF;
  return (replica_hash(node_name()) & ~random_bits) | (std::random_device{}() & random_bits);
}

// --- tables by name ------------------------------------------------------------------------------

struct open_tables {
  static open_tables& instance() {
    static auto& only = *new open_tables;  // outlives every thread
    return only;
  }

  std::mutex mutex;
  std::map<std::string, std::shared_ptr<replica>, std::less<>> tables;
};

void add_table(const std::shared_ptr<replica>& table) {
  auto& open = open_tables::instance();
  std::lock_guard guard{open.mutex};
  open.tables.insert_or_assign(table->settings().name, table);
}

void remove_table(const replica& table) noexcept {
  auto& open = open_tables::instance();
  std::shared_ptr<replica> last;  // goes after the lock
  std::lock_guard guard{open.mutex};
  auto found = open.tables.find(table.settings().name);
  if (found == open.tables.end() || found->second.get() != &table) return;
  last = std::move(found->second);
  open.tables.erase(found);
}

// --- the process ---------------------------------------------------------------------------------

struct table_written {};
struct sync_table {};
struct close_table {};
struct flush_table {};
struct tick_table {};
struct purge_table { std::size_t shard = 0; };

class table_keeper final : public replica_sync::world {
 public:
  explicit table_keeper(std::shared_ptr<replica> table)
      : table_(std::move(table)), sync_(*table_, self(), *this, {}) {
    table_->on_change(
        [me = self()] { enqueue(me, make_message<table_written>(message_kind::cast)); });
    node::monitor_nodes(true);
    for (auto& name : node::list()) sync_.node_up(name);
    tick_later();
  }
  table_keeper(const table_keeper&) = delete;
  table_keeper& operator=(const table_keeper&) = delete;
  ~table_keeper() override { remove_table(*table_); }

  replica& table() noexcept { return *table_; }
  replica_sync& sync() noexcept { return sync_; }

  void tick() {
    sync_.tick();
    // A hello may have crossed with the opening of the table over there.
    auto known = sync_.peers();
    for (auto& name : node::list())
      if (std::none_of(known.begin(), known.end(), [&](auto& peer) { return peer.node == name; }))
        sync_.node_up(name);
    roost::send(self(), purge_table{});
    tick_later();
  }

  bool send(pid to, replica_packet packet) override {
    try {
      // A node that has gone need not be connected to again for this.
      enqueue_if(
          to, make_message<replica_packet>(message_kind::cast, std::move(packet)),
          {.noconnect = true});
    } catch (const std::length_error& error) {
      logger::error(
          "a row of a replicated table is too large to be sent",
          {{"table", table_->settings().name}, {"node", node_of(to)}, {"trouble", error.what()}});
      return false;
    }
    return true;
  }
  void send_to_node(const std::string& node, replica_packet packet) override {
    send(name_on(process_of(table_->settings().name), node), std::move(packet));
  }
  void watch(pid process) override { monitor(process); }
  milliseconds now() override {
    return std::chrono::duration_cast<milliseconds>(
        std::chrono::steady_clock::now().time_since_epoch());
  }
  std::string this_node() override { return node_name(); }
  void synced(
      const std::string& node, milliseconds took, std::uint64_t sent,
      std::uint64_t received) override {
    static const telemetry::event event{"roost.ets.synced"};
    telemetry::execute(
        event, {{"duration", took}, {"sent", sent}, {"received", received}},
        {{"table", table_->settings().name}, {"node", node}});
  }

 private:
  /// Not all nodes and tables at the same time.
  void tick_later() {
    auto interval = static_cast<double>(table_->settings().sync_interval.count());
    std::uniform_real_distribution<double> around(0.8 * interval, 1.2 * interval);
    send_after(milliseconds(static_cast<milliseconds::rep>(around(random_))), self(), tick_table{});
  }

  std::shared_ptr<replica> table_;
  std::minstd_rand random_{std::random_device{}()};
  replica_sync sync_;
};

struct table_server {
  using messages = roost::messages<replica_packet, table_written, sync_table, close_table>;
  using infos = roost::messages<
      nodeup, nodedown, ets::transfer, flush_table, tick_table, purge_table, exited>;

  std::unique_ptr<table_keeper> keeper;

  static init_result<table_server> init(std::shared_ptr<replica> table, pid owner) {
    never_wait_for_links();
    trap_exit(true);  // the owner's normal end is the table's end too
    table->set_owner(owner, self());
    return table_server{std::make_unique<table_keeper>(std::move(table))};
  }

  void handle_cast(replica_packet packet) {
    auto node = node_of(packet.from);
    try {
      keeper->sync().receive(node, std::move(packet));
    } catch (const decode_error& error) {
      logger::warning(
          "a message about a replicated table cannot be read and was dropped",
          {{"table", keeper->table().settings().name}, {"node", node}, {"trouble", error.what()}});
    }
  }
  void handle_cast(table_written) { send_after(gathering, self(), flush_table{}); }
  void handle_cast(sync_table) { keeper->sync().sync_all(); }
  cast_result handle_cast(close_table) {
    if (auto owner = keeper->table().owner()) unlink(owner);
    return stop(exit_reason::normal);
  }

  void handle_info(const nodeup& up) { keeper->sync().node_up(up.node); }
  void handle_info(const nodedown&) {}  // the DOWN of its process has come before
  void handle_info(const down& down) { keeper->sync().process_down(down.process); }
  void handle_info(const ets::transfer&) {}  // ours from the beginning
  void handle_info(const exited&) {}         // nobody but the owner ends this process
  void handle_info(flush_table) { keeper->sync().flush(); }
  void handle_info(tick_table) { keeper->tick(); }
  void handle_info(purge_table purge) {
    keeper->sync().purge(purge.shard);
    if (++purge.shard < replica_shards) send(self(), purge);
  }

  void terminate(const exit_reason&) {
    remove_table(keeper->table());
    auto table = keeper->table().rows().table().shared_from_this();
    ets::any_table(std::move(table)).delete_table();
  }

  std::string format_status() const {
    return keeper->table().settings().name + ", " +
           std::to_string(keeper->table().rows().table().rows()) + " rows, " +
           std::to_string(keeper->sync().peers().size()) + " other copies";
  }
};

void check(const replica_settings& settings) {
  if (settings.name.empty())
    throw std::invalid_argument(
        "expected a replicated table's .name to be set, got an empty one (badarg)");
  if (settings.access == ets::private_)
    throw std::invalid_argument(
        "expected the replicated table " + settings.name +
        " to be protected_ or public_, got private_: other nodes read it too (badarg)");
  if (settings.tombstone_ttl < std::chrono::seconds(1))
    throw std::invalid_argument(
        "expected .tombstone_ttl of the table " + settings.name + " to be at least 1 s, got " +
        to_text(settings.tombstone_ttl) + " (badarg)");
  if (settings.sync_interval < milliseconds(10))
    throw std::invalid_argument(
        "expected .sync_interval of the table " + settings.name + " to be at least 10 ms, got " +
        to_text(settings.sync_interval) + " (badarg)");
}

std::shared_ptr<replica> start_replica(
    std::shared_ptr<replica_rows> rows, replica_settings settings) {
  check(settings);
  auto& core = rows->table();
  auto name = process_of(settings.name);
  auto owner = inside_process() ? self() : pid{};
  auto table = std::make_shared<replica>(
      std::move(rows), std::move(settings), version_node(), hybrid_clock::instance());
  auto server = start_link<table_server>({.name = process_name(name)}, table, owner);
  // From now on nobody can write to it but through its versions.
  ets::any_table(core.shared_from_this()).give_away(server.process());
  add_table(table);
  return table;
}

}  // namespace

std::shared_ptr<replica> open_replica(
    std::shared_ptr<replica_rows> rows, replica_settings settings) {
  ets::any_table table(rows->table().shared_from_this());
  try {
    return start_replica(std::move(rows), std::move(settings));
  } catch (const start_error& error) {
    table.delete_table();
    throw std::invalid_argument(
        "expected the process of the table " + table.name() + " to start, got " + error.what() +
        " (badarg)");
  } catch (...) {
    table.delete_table();
    throw;
  }
}

found_replica find_replica(std::string_view name, const ets_type& type) {
  auto& open = open_tables::instance();
  std::lock_guard guard{open.mutex};
  auto found = open.tables.find(name);
  if (found == open.tables.end() || !is_alive(found->second->server())) return {};
  auto& rows = found->second->shared_rows();
  if (&rows->type() != &type) ets_throw_other_type(rows->table(), type);
  return {found->second, rows};
}

void close_replica(replica& replica) {
  replica.check_writer();
  server<table_server> server(replica.server());
  if (inside_process()) return cast(server, close_table{});
  try {
    stop(server).get();
  } catch (const process_exit&) {
    // It has ended by itself.
  }
}

void sync_replica(const replica& replica) {
  cast(server<table_server>(replica.server()), sync_table{});
}

}  // namespace roost::detail
