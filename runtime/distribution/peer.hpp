// private: another node as this one knows it, for as long as this one runs: senders hold no
// reference to a connection, which may go at any moment, but to its peer, which is never freed.
#pragma once
#include "runtime/distribution/node_link.hpp"
#include <boost/unordered/unordered_flat_set.hpp>
#include <condition_variable>

namespace roost::detail {

struct peer {
  enum class phase {
    idle,        // no connection
    connecting,  // one is being made, by either side; messages wait for it
    up,
    leaving,  // lost, and not everybody has been told yet
  };

  struct waiting_message {
    pid to;
    message_ptr message;
  };

  peer(std::string name, std::uint32_t id) : name(std::move(name)), id(id) {}

  const std::string name;
  const std::uint32_t id;

  /// What senders look at before they encode: the number of the node's present incarnation while
  /// the link is up, else 0.
  std::atomic<std::uint32_t> open_to{0};
  std::atomic<std::uint64_t> serial{0};  // see remote.hpp

  std::mutex mutex;  // guards what follows
  enum phase phase = phase::idle;
  std::uint32_t number = 0;
  bool hidden = false;
  bool was_up = false;
  std::shared_ptr<node_link> link;                 // while up
  std::shared_ptr<node_link> attempt;              // the one that may become the link
  std::condition_variable left;                    // leaving is over
  bool dialling = false;                           // this node dials it
  std::chrono::steady_clock::time_point deadline;  // of connecting
  std::chrono::steady_clock::time_point retry_at;  // sends do not dial again before

  outgoing_lanes lanes;
  std::size_t queued = 0;  // bytes in the lanes or on their way into the socket
  std::condition_variable drained;
  unsigned threads_waiting = 0;
  std::vector<pid> blocked;  // processes that wait for it to drain
  std::size_t largest_message = 0;
  boost::unordered_flat_set<std::uint64_t> told_types;  // whose names the other end knows
  boost::unordered_flat_map<std::uint64_t, std::string> type_names;  // of the other end

  std::deque<waiting_message> waiting;
  boost::unordered_flat_set<pid, std::hash<pid>> tied;
  std::vector<std::function<void(bool)>> on_connected;
  std::vector<pid> monitors;  // node::monitor: told once
};

}  // namespace roost::detail
