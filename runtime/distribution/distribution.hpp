// private: the node among others: its peers and their links, who hears of what, who may come in.
//
// What happens to a peer happens under its mutex; what others are told of it is told outside, in
// the order that node.hpp promises. A link that is lost makes its peer `leaving` until everybody
// has been told, so that the next nodeup cannot overtake the nodedown.
#pragma once
#include "runtime/distribution/node.hpp"
#include "runtime/distribution/peer.hpp"
#include "runtime/distribution/port_mapper.hpp"
#include "runtime/remote.hpp"
#include <boost/unordered/unordered_flat_map.hpp>
#include <map>
#include <set>
#include <thread>

namespace roost::detail {

class listener;

class distribution final : public remote_nodes {
 public:
  /// The one of this program; made at the first use, never freed, since senders may look at it at
  /// any time.
  static distribution& instance();

  void start(node::options options);
  void stop();
  bool is_alive() const noexcept { return alive_.load(std::memory_order_acquire); }
  const node::options& options() const noexcept { return options_; }

  // --- for senders, from any thread
  send_status deliver(pid to, message_ptr message, send_options options) override;
  std::uint32_t peer_of(std::uint32_t node) override;
  std::uint64_t serial_of(std::uint32_t peer) noexcept override;
  std::uint64_t tie(std::uint32_t peer, pid process, bool connect) override;
  void untie(std::uint32_t peer, pid process) noexcept override;

  // --- for the node API, from any thread
  /// Calls `done` once, from any thread: whether there is a connection.
  void connect(const std::string& name, std::function<void(bool)> done);
  bool disconnect(std::string_view name);
  std::vector<std::string> list(node::which which);
  void monitor_nodes(pid subscriber, bool on, node::monitor_nodes_options options);
  void monitor(pid subscriber, const std::string& name);
  void demonitor(pid subscriber, std::string_view name);
  std::string cookie() const;
  void set_cookie(std::string cookie);
  void set_cookie(std::string name, std::string cookie);
  std::optional<std::string> cookie_for(std::string_view name) const;
  void allow(std::vector<std::string> names);

  /// What is known of the links, for tools.
  struct link_info {
    std::string node;
    bool hidden = false;
    std::size_t queued = 0;
    std::uint64_t bytes_in = 0;
    std::uint64_t bytes_out = 0;
  };
  std::vector<link_info> links();

  // --- for connections
  void accepted(int fd, std::string address);
  verdict decide(const std::shared_ptr<node_link>& link, const hello& hello);
  void wait_for_other(const std::shared_ptr<node_link>& link);
  /// `ready` is called when the peer is settled, before anything is sent or heard. Null: the
  /// connection is not wanted any more.
  peer* up(
      const std::shared_ptr<node_link>& link, const hello& hello,
      const std::function<void(peer&)>& ready);
  void lost(const std::shared_ptr<node_link>& link, const std::string& reason, bool quiet);
  void drained(peer& peer, node_link& link, std::size_t bytes);
  void send_tick(peer& peer, node_link& link);
  void take_signal(peer& peer, std::uint32_t number, std::string_view body);
  void take_type_name(peer& peer, std::string_view body);
  void take_nodes(peer& peer, std::string_view body);
  void take_lost(peer& peer, std::string_view body);

 private:
  struct subscriber {
    pid process;
    node::monitor_nodes_options::types types;
    unsigned count;
  };
  /// Who has to be told of a loss.
  struct farewell {
    bool was_up = false;
    node_loss loss;
    std::vector<pid> blocked;
    std::deque<peer::waiting_message> waiting;
    std::vector<pid> monitors;
    std::vector<pid> tied;
    std::vector<std::function<void(bool)>> on_connected;
  };

  distribution() = default;
  ~distribution() override;
  void open_to_others();

  // peers
  peer& peer_named(std::string_view name);
  peer* find_peer(std::string_view name);
  peer& peer_at(std::uint32_t id) noexcept;
  std::vector<peer*> all_peers();

  // sending
  send_status deliver_now(
      peer& peer, std::uint32_t number, pid to, message_ptr& message, send_options options);
  send_status deliver_later(peer& peer, pid to, message_ptr& message, send_options options);
  void tell_type(peer& peer, const message& message);
  void hold_back_sender(peer& peer, std::unique_lock<std::mutex>& guard);
  void transmit(peer& peer, pid to, const message& message);

  // connecting
  bool begin(peer& peer);  // holds the mutex; answers whether to dial
  void dial(peer& peer, std::uint64_t serial);
  int dial_socket(const std::string& name, std::string& address);
  void dialled(peer& peer, std::uint64_t serial, int fd, std::string address);
  void failed(peer& peer, std::uint64_t serial, const std::string& reason);
  std::shared_ptr<node_link> make_connection(node_link::parts parts);
  void start_connection(const std::shared_ptr<node_link>& link);
  std::shared_ptr<node_link> oldest_stranger();  // holds connections_mutex_
  void send_waiting(peer& peer, peer::waiting_message one);
  void attempt_ended(const std::shared_ptr<node_link>& link, const std::string& reason, bool quiet);
  hello own_hello() const;
  bool is_allowed(std::string_view name) const;
  void send_nodes(peer& to);
  void broadcast(frame_type type, std::string_view body, const peer* except);

  // telling
  farewell leave(peer& peer);  // holds the mutex
  void tell(peer& peer, farewell farewell, const std::string& reason);
  void tell_subscribers(const peer& peer, const std::string* reason);

  // the ticker
  void run_ticker();
  void tick_links();
  std::optional<std::chrono::milliseconds> look_after_setups();
  std::vector<std::shared_ptr<node_link>> all_connections();
  void wake_ticker();

  node::options options_;
  std::atomic<bool> alive_{false};
  std::atomic<std::uint64_t> last_serial_{0};
  std::shared_ptr<security_context> security_;
  std::unique_ptr<listener> listener_;
  std::unique_ptr<port_mapper> mapper_;
  pid kernel_;
  pid rex_;
  pid pg_;
  pid global_;

  std::mutex peers_mutex_;
  std::map<std::string, peer*, std::less<>> peers_;
  static constexpr std::size_t chunk_size = 1024;
  static constexpr std::size_t most_chunks = 4096;
  std::array<std::atomic<peer**>, most_chunks> peer_chunks_{};
  std::uint32_t peer_count_ = 0;
  /// For each number of a node, its peer's id plus one.
  std::array<std::atomic<std::atomic<std::uint32_t>*>, most_chunks> peer_of_node_{};

  mutable std::mutex settings_mutex_;
  std::string cookie_;
  std::map<std::string, std::string, std::less<>> cookies_;
  std::vector<std::string> allowed_;

  std::mutex subscribers_mutex_;
  std::vector<subscriber> subscribers_;

  std::mutex connections_mutex_;
  std::set<std::shared_ptr<node_link>> connections_;
  std::condition_variable ticker_wakes_;
  bool ticker_woken_ = false;
  bool stopping_ = false;
  std::thread ticker_;
};

/// Lets processes that waited for a link go on.
void release_senders(std::uint32_t peer, const std::vector<pid>& blocked);

}  // namespace roost::detail
