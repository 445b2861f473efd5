// A scope of process groups: one process on each node, and a table that everybody reads.
//
// Protocol. The scopes of two nodes exchange their own members, each for itself; nobody speaks for
// others. Per pair and direction:
//
//   A has come to know of node B (nodeup, or a discover from B):   A → B  discover(life)
//   B sends its members in pieces, at most `window` ahead:         B → A  part(life, 0…, last)
//                                                                  A → B  taken(life, index)
//   and every change of a member that it has sent already:         B → A  update(life, rows)
//
// Rows hold absolute counts, so that hearing of one twice does no harm. `life` is a number that A
// gives to what it knows of B; it takes a new one when it has forgotten everything (nodedown, or
// B's scope has ended), so that nothing of an earlier life is mistaken for news, and asking twice
// in one life gets one answer. There is no snapshot: B goes through its members in order and
// remembers how far it has come; a change behind that point is sent at once, one ahead of it will
// be in the piece that it belongs to.
//
// A forgets B's members at nodedown or when the scope's process there ends (it is monitored), and
// then asks again: the scope may have been started again before the news came.
#include "runtime/distribution/pg.hpp"
#include "runtime/distribution/node.hpp"
#include "runtime/distribution/pg_table.hpp"
#include "runtime/remote.hpp"

namespace roost::detail {
namespace {

struct pg_flush {};
struct pg_watch {
  using reply = pg::group_monitor;
  std::string group;
  pid subscriber;
};
struct pg_watch_all {
  using reply = pg::scope_monitor;
  pid subscriber;
};
struct pg_unwatch {
  using reply = bool;
  reference ref;
};

/// Who is told of changes.
class pg_subscribers {
 public:
  reference add(pid process, std::optional<std::string> group) {
    auto ref = make_ref();
    auto monitor = roost::monitor(process);
    if (group)
      by_group_[*group].insert(ref);
    else
      everything_.insert(ref);
    by_monitor_.emplace(monitor, ref);
    all_.emplace(ref, subscription{process, monitor, std::move(group)});
    return ref;
  }

  bool remove(reference ref) {
    auto found = all_.find(ref);
    if (found == all_.end()) return false;
    auto& [process, monitor, group] = found->second;
    demonitor(monitor, {.flush = true});
    by_monitor_.erase(monitor);
    everything_.erase(ref);
    if (group) {
      auto refs = by_group_.find(*group);
      refs->second.erase(ref);
      if (refs->second.empty()) by_group_.erase(refs);
    }
    all_.erase(found);
    return true;
  }

  /// Answers whether it was the monitor of a subscriber.
  bool down(reference monitor) {
    auto found = by_monitor_.find(monitor);
    return found != by_monitor_.end() && remove(reference(found->second));
  }

  template <class Event>
  void tell(const std::string& group, const std::vector<pid>& processes) const {
    if (processes.empty() || all_.empty()) return;
    for (auto ref : everything_) send(all_.find(ref)->second.process, Event{ref, group, processes});
    auto refs = by_group_.find(group);
    if (refs == by_group_.end()) return;
    for (auto ref : refs->second)
      send(all_.find(ref)->second.process, Event{ref, group, processes});
  }

 private:
  struct subscription {
    pid process;
    reference monitor;
    std::optional<std::string> group;  // none: all groups
  };

  std::map<reference, subscription> all_;
  std::map<reference, reference> by_monitor_;
  std::map<std::string, std::set<reference>> by_group_;
  std::set<reference> everything_;
};

class pg_scope final : public pg_state::effects {
 public:
  explicit pg_scope(std::string scope)
      : scope_(std::move(scope)), table_(pg_table::find_or_make(scope_)), state_(self(), *this) {
    table_->set_owner(self());
    for (auto& rows : table_->local_rows()) state_.set_local(rows);
    node::monitor_nodes(true);
    for (auto& name : node::list()) state_.node_up(name);
  }
  pg_scope(const pg_scope&) = delete;
  pg_scope& operator=(const pg_scope&) = delete;
  ~pg_scope() override {
    table_->set_owner({});
    table_->drop_remote();
  }

  pg_state& state() { return state_; }
  pg_subscribers& subscribers() { return subscribers_; }
  void end() { pg_table::remove(scope_); }

  void send(pid scope, pg_packet packet) override { send_packet(scope, std::move(packet)); }
  void send_to_node(const std::string& node, pg_packet packet) override {
    send_packet(name_on(scope_, node), std::move(packet));
  }
  reference monitor(pid process) override { return monitor_connected(process); }
  void demonitor(reference ref) override { roost::demonitor(ref, {.flush = true}); }
  void flush_soon() override { enqueue(self(), make_message<pg_flush>(message_kind::cast)); }

  void changed(
      const std::string& group, const std::vector<pg_change>& changes,
      pg_state::store store) override {
    if (store == pg_state::store::yes) table_->store(group, changes);
    std::vector<pid> joined;
    std::vector<pid> left;
    for (auto& [process, before, after] : changes) {
      if (after > before) joined.insert(joined.end(), after - before, process);
      if (before > after) left.insert(left.end(), before - after, process);
    }
    subscribers_.tell<pg::joined>(group, joined);
    subscribers_.tell<pg::left>(group, left);
  }

 private:
  /// A node that has gone need not be connected to again for this.
  static void send_packet(pid to, pg_packet packet) {
    enqueue_if(
        to, make_message<pg_packet>(message_kind::cast, std::move(packet)), {.noconnect = true});
  }

  std::string scope_;
  std::shared_ptr<pg_table> table_;
  pg_subscribers subscribers_;
  pg_state state_;
};

struct pg_server {
  using messages =
      roost::messages<pg_packet, pg_local_change, pg_flush, pg_watch, pg_watch_all, pg_unwatch>;
  using infos = roost::messages<nodeup, nodedown>;

  std::unique_ptr<pg_scope> scope;

  static init_result<pg_server> init(std::string name) {
    never_wait_for_links();
    trap_exit(true);  // so that an ordered stop is told apart from a crash
    return pg_server{std::make_unique<pg_scope>(std::move(name))};
  }

  void handle_cast(pg_packet packet) {
    auto node = node_of(packet.scope);
    scope->state().receive(node, std::move(packet));
  }
  void handle_cast(const pg_local_change& change) { scope->state().set_local(change.rows); }
  void handle_cast(pg_flush) { scope->state().flush(); }
  void handle_info(const nodeup& up) { scope->state().node_up(up.node); }
  void handle_info(const nodedown& down) { scope->state().node_down(down.node); }
  void handle_info(const down& down) {
    if (!scope->subscribers().down(down.ref))
      scope->state().down(down.ref, down.reason == exit_reason::noconnection);
  }

  pg::group_monitor handle_call(const pg_watch& wish) {
    auto ref = scope->subscribers().add(wish.subscriber, wish.group);
    return {ref, scope->state().members(wish.group)};
  }
  pg::scope_monitor handle_call(const pg_watch_all& wish) {
    auto ref = scope->subscribers().add(wish.subscriber, std::nullopt);
    return {ref, scope->state().groups()};
  }
  bool handle_call(const pg_unwatch& wish) { return scope->subscribers().remove(wish.ref); }

  /// A scope that is stopped takes its members along; one that crashes does not.
  void terminate(const exit_reason& reason) {
    if (reason.is_orderly()) scope->end();
  }

  std::string format_status() const {
    return std::to_string(scope->state().groups().size()) + " groups";
  }
};

server<pg_server> server_of(std::string_view scope) {
  return server<pg_server>(process_name(scope));
}

}  // namespace

pid start_pg() {
  start_request request;
  request.name = process_name(pg::default_scope);
  request.owned = true;
  auto outcome =
      start_process(make_server<pg_server>(std::string(pg::default_scope)), std::move(request));
  if (outcome.status != start_status::ready)
    throw std::runtime_error("expected the name pg to be free, got another process");
  return outcome.process;
}

}  // namespace roost::detail

namespace roost::pg {

using detail::pg_table;

std::unique_ptr<detail::behavior> scope::make_process(options options) {
  if (options.name.empty())
    throw std::invalid_argument("expected a scope's .name to be set, got an empty one");
  return detail::make_server<detail::pg_server>(std::move(options.name));
}

pid start_link(std::string_view name) {
  return detail::start_server(
      scope::make_process({std::string(name)}), {process_name(name)}, detail::attachment::link,
      "pg scope " + std::string(name));
}

void join(std::string_view group, pid process) { join(default_scope, group, process); }
void join(std::string_view group, const std::vector<pid>& processes) {
  join(default_scope, group, processes);
}
void join(std::string_view scope, std::string_view group, pid process) {
  join(scope, group, std::vector{process});
}
void join(std::string_view scope, std::string_view group, const std::vector<pid>& processes) {
  pg_table::find_or_throw(scope)->join(std::string(group), processes);
}

leave_result leave(std::string_view group, pid process) {
  return leave(default_scope, group, process);
}
leave_result leave(std::string_view group, const std::vector<pid>& processes) {
  return leave(default_scope, group, processes);
}
leave_result leave(std::string_view scope, std::string_view group, pid process) {
  return leave(scope, group, std::vector{process});
}
leave_result leave(
    std::string_view scope, std::string_view group, const std::vector<pid>& processes) {
  bool some = pg_table::find_or_throw(scope)->leave(std::string(group), processes);
  return some ? leave_result::ok : leave_result::not_joined;
}

std::vector<pid> get_members(std::string_view group) { return get_members(default_scope, group); }
std::vector<pid> get_members(std::string_view scope, std::string_view group) {
  auto table = pg_table::find(scope);
  return table ? table->members(std::string(group)) : std::vector<pid>();
}
std::vector<pid> get_local_members(std::string_view group) {
  return get_local_members(default_scope, group);
}
std::vector<pid> get_local_members(std::string_view scope, std::string_view group) {
  auto table = pg_table::find(scope);
  return table ? table->local_members(std::string(group)) : std::vector<pid>();
}
std::vector<std::string> which_groups(std::string_view scope) {
  auto table = pg_table::find(scope);
  return table ? table->groups() : std::vector<std::string>();
}
std::vector<std::string> which_local_groups(std::string_view scope) {
  auto table = pg_table::find(scope);
  return table ? table->local_groups() : std::vector<std::string>();
}

pending<group_monitor> monitor(std::string_view group) { return monitor(default_scope, group); }
pending<group_monitor> monitor(std::string_view scope, std::string_view group) {
  return call(detail::server_of(scope), detail::pg_watch{std::string(group), self()});
}
pending<scope_monitor> monitor_scope(std::string_view scope) {
  return call(detail::server_of(scope), detail::pg_watch_all{self()});
}
pending<bool> demonitor(reference ref, std::string_view scope) {
  return call(detail::server_of(scope), detail::pg_unwatch{ref});
}

}  // namespace roost::pg
