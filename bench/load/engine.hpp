// private: holds the clients of one process and moves their bytes. What one turn of its loop writes
// to a client leaves in one send.
#pragma once
#include "bench/load/client.hpp"
#include "bench/load/dialer.hpp"
#include "bench/load/options.hpp"
#include "bench/load/scenario.hpp"
#include "bench/load/shared_state.hpp"
#include <queue>
#include <span>

namespace roost::load {

std::uint64_t now_in_nanoseconds() noexcept;

class engine {
 public:
  engine(const options& options, shared_state& shared, std::size_t worker);
  engine(const engine&) = delete;
  engine& operator=(const engine&) = delete;
  ~engine();

  /// Until the phase is finished.
  void run();

  // --- for scenarios ---

  const load::options& options() const noexcept { return options_; }
  worker_state& counters() noexcept { return counters_; }
  const shared_state& shared() const noexcept { return shared_; }
  std::span<client> clients() noexcept { return clients_; }
  bool is_herding() const noexcept { return phase_ == phase::herding; }
  std::string topic_of(const client& client) const;

  /// A message to the client's topic that wants a reply.
  void ask(client& client, std::string_view event, std::string_view payload);
  void ask(client& client, const outgoing_message& message);
  /// One that wants none.
  void tell(client& client, std::string_view event, std::string_view payload);

 private:
  struct retry {
    std::uint64_t due;
    std::uint32_t place;
    bool operator<(const retry& other) const noexcept { return due > other.due; }
  };

  void enter(phase next, std::uint64_t now);
  std::uint64_t do_what_is_due(std::uint64_t now);
  void send_heartbeats(std::uint64_t now);

  void start_connecting(std::uint64_t now);
  void connect(client& client, std::uint64_t now);
  void on_connected(client& client);
  void secure(client& client);
  void upgrade(client& client);
  void join(client& client);
  void leave(client& client);
  void cut(client& client);
  /// The connection has ended; the client comes again later, unless all are leaving.
  void on_end(client& client, counter& why);
  void forget(client& client);

  void on_event(client& client, std::uint32_t events);
  void read(client& client);
  bool read_head(client& client, std::span<char>& input);
  void on_frame(client& client, const frame_event& frame, std::uint64_t now);
  void on_message(client& client, std::string_view text, std::uint64_t now);
  void on_reply(client& client, const incoming_message& message, std::uint64_t now);
  void on_joined(client& client, std::uint64_t now);

  std::string& output_of(client& client);
  void flush(client& client);
  void watch(client& client);

  const load::options& options_;
  shared_state& shared_;
  worker_state& counters_;
  std::unique_ptr<load::scenario> scenario_;
  dialer dialer_;
  load::phase phase_ = phase::waiting;
  std::vector<client> clients_;
  std::vector<client*> pending_;
  std::priority_queue<retry> retries_;
  std::size_t next_to_connect_ = 0;
  std::size_t under_way_ = 0;  // clients between connect() and joined
  std::size_t at_once_;        // of those, at most
  std::uint64_t heartbeats_began_ = 0;
  std::uint64_t heartbeats_ = 0;
  std::vector<char> buffer_ = std::vector<char>(256 * 1024);
  int epoll_ = -1;
};

}  // namespace roost::load
