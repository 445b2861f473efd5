// The name server of a node, `global_name_server`, and the table of names that everybody reads.
//
// Protocol. A name belongs to the node of its process: only that node's server claims it, gives it
// up, and answers for it. The servers of two nodes exchange their claims as the scopes of pg do
// theirs:
//
//   A has come to know of node B:        A → B  hello(life)
//   B sends its claims in pieces:        B → A  part(life, 0…, last)      A → B  received
//   and what becomes of them:            B → A  insert(life, claim, op)   A → B  done(op)
//                                        B → A  remove(life, claim, op)   A → B  done(op)
//
// Registering, at the server of the process's node: `lock` on the node whose name comes first, then
// on all others (`answer`: granted, refused, taken); refused: `unlock`, a random pause, again. With
// all locks `insert` goes to everybody, then `unlock`; the answer is yes when all have seen it. A
// node that has just been connected is waited for until it has said hello or has no server; what it
// brings counts even before its claims have come, since it answers `taken` for its own. A node that
// is lost is not waited for, and its locks and claims are dropped; so are those of a server that
// ends (it is monitored).
//
// A conflict is seen by the two nodes whose processes have the name, as soon as each has heard of
// the other's claim. The one whose name comes first decides and sends `verdict` if the other's
// process loses; each node removes, kills and tells only its own. While that lasts, all nodes show
// the same one of them.
//
// Locks of users are kept and agreed on in the same way; each server monitors their holders.
//
// The table survives a crash of the server with the names of this node's processes, which its
// successor claims again; names of other nodes are dropped until those have told them again.
#include "runtime/distribution/global.hpp"
#include "runtime/distribution/global_state.hpp"
#include "runtime/distribution/node.hpp"
#include "runtime/logger.hpp"
#include "runtime/node_table.hpp"
#include "runtime/remote.hpp"
#include <algorithm>
#include <array>
#include <mutex>
#include <random>
#include <shared_mutex>

namespace roost::detail {
namespace {

constexpr std::string_view server_name = "global_name_server";
constexpr std::chrono::milliseconds patience{20'000};  // more than the server needs at worst

// --- the table -----------------------------------------------------------------------------------

class name_table {
 public:
  static name_table& instance() {
    static auto& only = *new name_table;  // outlives every thread
    return only;
  }

  void set(const std::string& name, const global_claim& claim) {
    auto& shard = shard_of(name);
    std::unique_lock guard{shard.mutex};
    shard.claims.insert_or_assign(name, claim);
  }
  void erase(const std::string& name) {
    auto& shard = shard_of(name);
    std::unique_lock guard{shard.mutex};
    shard.claims.erase(name);
  }
  pid find(std::string_view name) const noexcept {
    auto& shard = shard_of(name);
    std::shared_lock guard{shard.mutex};
    auto found = shard.claims.find(name);
    if (found == shard.claims.end()) return {};
    auto process = found->second.process;
    return process.is_local() && !roost::is_alive(process) ? pid() : process;
  }
  std::vector<global_claim> all() const {
    std::vector<global_claim> claims;
    for (auto& shard : shards_) {
      std::shared_lock guard{shard.mutex};
      for (auto& [name, claim] : shard.claims) claims.push_back(claim);
    }
    return claims;
  }
  template <class F>
  void erase_if(F is_unwanted) {
    for (auto& shard : shards_) {
      std::unique_lock guard{shard.mutex};
      std::erase_if(shard.claims, [&](auto& entry) { return is_unwanted(entry.second); });
    }
  }

 private:
  struct shard {
    mutable std::shared_mutex mutex;
    std::map<std::string, global_claim, std::less<>> claims;
  };
  shard& shard_of(std::string_view name) {
    return shards_[std::hash<std::string_view>{}(name) % shards_.size()];
  }
  const shard& shard_of(std::string_view name) const {
    return shards_[std::hash<std::string_view>{}(name) % shards_.size()];
  }

  std::array<shard, 16> shards_;
};

// --- functions that decide -----------------------------------------------------------------------

struct resolver_table {
  std::mutex mutex;
  std::map<std::string, std::shared_ptr<const global_names::resolver_function>, std::less<>> all;
};

resolver_table& resolvers() {
  static auto& only = *new resolver_table;
  return only;
}

std::shared_ptr<const global_names::resolver_function> find_resolver(std::string_view name) {
  auto& table = resolvers();
  std::lock_guard guard{table.mutex};
  auto found = table.all.find(name);
  return found != table.all.end() ? found->second : nullptr;
}

bool is_built_in(std::string_view resolver) {
  return resolver == global_names::random_exit_name ||
         resolver == global_names::random_notify_name || resolver == global_names::notify_all_name;
}

// --- the process ---------------------------------------------------------------------------------

struct global_register {
  using reply = bool;
  global_claim claim;
  bool replaces = false;
};
struct global_unregister {
  using reply = void;
  std::string name;
  pid process;  // nobody: there is nothing to do
};
struct global_set_lock {
  using reply = bool;
  global_state::lock_wish wish;
};
struct global_del_lock { global_state::lock_wish wish; };
struct global_sync { using reply = void; };

class name_server final : public global_state::effects {
 public:
  name_server() : state_(self(), *this) {
    for (auto& claim : name_table::instance().all())
      if (claim.process.is_local()) state_.adopt(claim);
    node::monitor_nodes(true);
    for (auto& name : node::list()) state_.node_up(name);
  }
  name_server(const name_server&) = delete;
  name_server& operator=(const name_server&) = delete;
  ~name_server() override {
    name_table::instance().erase_if(
        [](const global_claim& claim) { return !claim.process.is_local(); });
  }

  global_state& state() { return state_; }

  template <class R>
  std::uint64_t add_client(const from<R>& client) {
    clients_.emplace(++last_client_, waiting{client.caller(), client.ref(), std::is_void_v<R>});
    return last_client_;
  }

  void send(pid server, global_packet packet) override { send_packet(server, std::move(packet)); }
  void send_to_node(const std::string& node, global_packet packet) override {
    send_packet(name_on(server_name, node), std::move(packet));
  }
  reference monitor(pid process) override { return monitor_connected(process); }
  reference monitor_server_of(const std::string& node) override {
    return monitor_connected(name_on(server_name, node));
  }
  void demonitor(reference ref) override { roost::demonitor(ref, {.flush = true}); }
  void after(std::chrono::milliseconds delay, global_state::timer timer) override {
    send_after(delay, self(), timer);
  }

  void answer(std::uint64_t client, global_state::outcome outcome) override {
    auto found = clients_.find(client);
    auto [caller, ref, is_plain] = found->second;
    clients_.erase(found);
    message_ptr reply;
    if (outcome == global_state::outcome::timeout)
      reply = make_message<death_notice>(message_kind::no_reply, exit_reason(exit_reason::timeout));
    else if (is_plain)
      reply = make_message<unit>(message_kind::reply);
    else
      reply = make_message<bool>(message_kind::reply, outcome == global_state::outcome::yes);
    send_reply(caller, ref, std::move(reply));
  }

  void show(const std::string& name, const global_claim* claim) override {
    if (claim != nullptr)
      name_table::instance().set(name, *claim);
    else
      name_table::instance().erase(name);
  }

  void lost(const global_claim& claim, global_loss loss, pid other) override {
    logger::warning(
        "global name conflict", {{"name", claim.name},
                                 {"loser", to_string(claim.process)},
                                 {"other", to_string(other)},
                                 {"resolver", claim.resolver}});
    if (loss == global_loss::exit) exit(claim.process, exit_reason::kill);
    if (loss == global_loss::notify)
      roost::send(claim.process, global_name_conflict{claim.name, other});
  }

  std::optional<pid> resolve(const global_claim& mine, pid theirs) override {
    auto function = find_resolver(mine.resolver);
    if (!function) {
      logger::warning(
          "a function for global names is not offered on this node",
          {{"resolver", mine.resolver}, {"name", mine.name}});
      return std::nullopt;
    }
    try {
      return (*function)(mine.name, mine.process, theirs);
    } catch (const std::exception& error) {
      logger::error(
          "a function for global names failed",
          {{"resolver", mine.resolver}, {"name", mine.name}, {"reason", error.what()}});
      return pid();
    }
  }

  bool is_alive(pid process) override { return roost::is_alive(process); }
  std::string identity(pid process) override {
    auto node = node_of_number(process.node);
    return std::string(node.name) + ' ' + std::to_string(node.incarnation) + ' ' +
           std::to_string(process.id);
  }
  std::string this_node() override { return node_name(); }
  std::uint32_t random(std::uint32_t bound) override {
    return std::uniform_int_distribution<std::uint32_t>(0, bound - 1)(random_);
  }
  std::chrono::milliseconds now() override {
    return std::chrono::duration_cast<std::chrono::milliseconds>(
        std::chrono::steady_clock::now().time_since_epoch());
  }

 private:
  struct waiting {
    pid caller;
    reference ref;
    bool is_plain;  // its reply is void
  };

  /// A node that has gone need not be connected to again for this.
  static void send_packet(pid to, global_packet packet) {
    enqueue_if(
        to, make_message<global_packet>(message_kind::cast, std::move(packet)),
        {.noconnect = true});
  }

  std::minstd_rand random_{std::random_device{}()};
  std::map<std::uint64_t, waiting> clients_;
  std::uint64_t last_client_ = 0;
  global_state state_;
};

struct global_server {
  using messages = roost::messages<
      global_packet, global_register, global_unregister, global_set_lock, global_del_lock,
      global_sync>;
  using infos = roost::messages<nodeup, nodedown, global_state::timer>;

  std::unique_ptr<name_server> server;

  static init_result<global_server> init() {
    never_wait_for_links();
    trap_exit(true);  // so that an ordered stop is told apart from a crash
    return global_server{std::make_unique<name_server>()};
  }

  void handle_cast(const global_packet& packet) {
    server->state().receive(node_of(packet.server), packet);
  }
  void handle_cast(const global_del_lock& message) { server->state().del_lock(message.wish); }
  void handle_info(const nodeup& up) { server->state().node_up(up.node); }
  void handle_info(const nodedown& down) { server->state().node_down(down.node); }
  void handle_info(const down& down) {
    server->state().down(down.ref, down.reason == exit_reason::noconnection);
  }
  void handle_info(global_state::timer timer) { server->state().timer_fired(timer); }

  call_result<bool> handle_call(global_register message, from<bool> client) {
    if (!message.claim.process.is_local()) return false;  // a node that does not know us well
    auto number = server->add_client(client);
    server->state().register_name(number, std::move(message.claim), message.replaces);
    return noreply();
  }
  call_result<unit> handle_call(const global_unregister& message, from<void> client) {
    auto number = server->add_client(client);
    server->state().unregister_name(number, message.name, message.process);
    return noreply();
  }
  call_result<bool> handle_call(global_set_lock message, from<bool> client) {
    auto number = server->add_client(client);
    server->state().set_lock(number, std::move(message.wish));
    return noreply();
  }
  call_result<unit> handle_call(global_sync, from<void> client) {
    auto number = server->add_client(client);
    server->state().sync(number);
    return noreply();
  }

  /// A server that is stopped takes all names along; one that crashes does not.
  void terminate(const exit_reason& reason) {
    if (reason.is_orderly()) name_table::instance().erase_if([](auto&) { return true; });
  }

  std::string format_status() const {
    return std::to_string(name_table::instance().all().size()) + " names";
  }
};

server<global_server> name_server_here() {
  return server<global_server>(process_name(server_name));
}

server<global_server> name_server_of(pid process) {
  if (process.is_local()) return name_server_here();
  return server<global_server>(server_name, node_of(process));
}

global_claim checked_claim(std::string_view name, pid process, std::string_view resolver) {
  if (name.empty())
    throw std::invalid_argument("expected a global name to be a text, got an empty one");
  if (!process || process.is_name())
    throw std::invalid_argument(
        "expected the owner of the global name " + std::string(name) + " to be a process, got " +
        (process ? to_string(process) : "nobody"));
  if (!is_built_in(resolver) && !find_resolver(resolver))
    throw std::invalid_argument(
        "expected a function for global names that was offered with offer_resolver, got " +
        std::string(resolver));
  return {std::string(name), process, std::string(resolver)};
}

global_state::lock_wish wish_of(
    global_names::lock_id id, std::vector<std::string> nodes, unsigned retries, pid holder) {
  global_state::lock_wish wish;
  if (id.requester.empty())
    id.requester = node_name() + ' ' + std::to_string(this_node().incarnation) + ' ' +
                   std::to_string(holder.id);
  wish.resource = std::move(id.resource);
  wish.requester = std::move(id.requester);
  wish.holder = holder;
  wish.everywhere = nodes.empty();
  wish.nodes = std::move(nodes);
  wish.retries = retries;
  return wish;
}

// --- via -----------------------------------------------------------------------------------------

class global_service final : public name_service {
 public:
  bool asks_others() const noexcept override { return true; }

  /// Runs in the process that starts, whose init is waited for as long.
  void register_later(const std::string& key, pid process, done_function done) const override {
    auto claim = checked_claim(key, process, global_names::random_exit_name);
    call(name_server_here(), global_register{std::move(claim)}, patience)
        .then(
            [key, process, done](bool yes) {
              auto owner = yes ? pid() : name_table::instance().find(key);
              // Its owner may have ended meanwhile; a start that is tried again finds it free.
              bool was_taken = !yes && (!owner || owner == process);
              done(owner, was_taken ? exit_reason("{name_taken, " + key + "}") : exit_reason());
            },
            [done](const exit_reason& reason) { done({}, reason); });
  }

  pid register_name(const std::string& key, pid process) const override {
    bool yes = global_names::register_name(key, process).get();  // outside processes only
    return yes ? pid() : whereis_name(key);
  }
  void unregister_name(const std::string& key, pid process) const override {
    if (whereis_name(key) != process) return;
    // Nobody waits for the answer: the name ends with the process anyway.
    spawn([key, process] {
      call(name_server_here(), global_unregister{key, process}, patience)
          .then([] {}, [](const exit_reason&) {});
    });
  }
  pid whereis_name(const std::string& key) const noexcept override {
    return name_table::instance().find(key);
  }
};

}  // namespace

pid start_global() {
  start_request request;
  request.name = process_name(server_name);
  request.owned = true;
  auto outcome = start_process(make_server<global_server>(), std::move(request));
  if (outcome.status != start_status::ready)
    throw std::runtime_error(
        "expected the name global_name_server to be free, got another process");
  return outcome.process;
}

}  // namespace roost::detail

namespace roost {

via_name global(std::string name) {
  static const auto& service =
      *new std::shared_ptr<const name_service>(std::make_shared<const detail::global_service>());
  return {service, std::move(name)};
}

namespace global_names {

pid start_link() {
  return detail::start_server(
      detail::make_server<detail::global_server>(), {process_name(detail::server_name)},
      detail::attachment::link, detail::server_name);
}

pending<bool> register_name(std::string_view name, pid process, std::string_view resolver) {
  auto claim = detail::checked_claim(name, process, resolver);
  return call(
      detail::name_server_of(process), detail::global_register{std::move(claim)}, detail::patience);
}

pending<bool> re_register_name(std::string_view name, pid process, std::string_view resolver) {
  auto claim = detail::checked_claim(name, process, resolver);
  return call(
      detail::name_server_of(process), detail::global_register{std::move(claim), true},
      detail::patience);
}

pending<void> unregister_name(std::string_view name) {
  auto owner = whereis_name(name);
  return call(
      detail::name_server_of(owner), detail::global_unregister{std::string(name), owner},
      detail::patience);
}

pid whereis_name(std::string_view name) noexcept {
  return detail::name_table::instance().find(name);
}

std::vector<std::string> registered_names() {
  std::vector<std::string> names;
  for (auto& claim : detail::name_table::instance().all()) names.push_back(claim.name);
  return names;
}

void offer_resolver(std::string name, resolver_function function) {
  auto& table = detail::resolvers();
  std::lock_guard guard{table.mutex};
  table.all.insert_or_assign(
      std::move(name), std::make_shared<const resolver_function>(std::move(function)));
}

pending<void> sync() {
  return call(detail::name_server_here(), detail::global_sync{}, detail::patience);
}

// --- locks ---------------------------------------------------------------------------------------

namespace {

pid holder_here(const char* what) {
  if (inside_process()) return self();
  throw std::logic_error(
      std::string("expected ") + what +
      " to be called in a process, got a thread outside the scheduler");
}

void give_back(const lock_id& id, std::vector<std::string> nodes, pid holder) {
  cast(
      detail::name_server_here(),
      detail::global_del_lock{detail::wish_of(id, std::move(nodes), 0, holder)});
}

}  // namespace

pending<bool> set_lock(lock_id id, lock_options options) {
  auto holder = holder_here("set_lock");
  return call(
      detail::name_server_here(),
      detail::global_set_lock{
          detail::wish_of(std::move(id), std::move(options.nodes), options.retries, holder)},
      infinity);
}

void del_lock(lock_id id, std::vector<std::string> nodes) {
  give_back(id, std::move(nodes), holder_here("del_lock"));
}

held_lock::held_lock(lock_id id, std::vector<std::string> nodes)
    : id_(std::move(id)), nodes_(std::move(nodes)), holder_(self()) {}

held_lock::held_lock(held_lock&& other) noexcept
    : id_(std::move(other.id_)),
      nodes_(std::move(other.nodes_)),
      holder_(std::exchange(other.holder_, {})) {}

held_lock& held_lock::operator=(held_lock&& other) noexcept {
  if (this == &other) return *this;
  release();
  id_ = std::move(other.id_);
  nodes_ = std::move(other.nodes_);
  holder_ = std::exchange(other.holder_, {});
  return *this;
}

held_lock::~held_lock() { release(); }

void held_lock::release() noexcept {
  if (!holder_) return;
  try {
    give_back(id_, std::move(nodes_), std::exchange(holder_, {}));
  } catch (const std::exception&) {
    // Out of memory: the lock ends with its process.
  }
}

}  // namespace global_names
}  // namespace roost
