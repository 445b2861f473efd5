// private: watches this node and sets alarms (runtime/alarms.hpp): memory_high, schedulers_busy,
// network_saturated.INTERFACE, process_limit_near, file_limit_near, links_busy, long_mailboxes and
// crash_loop. docs/alarms.md explains them.
//
// It looks from a thread of its own: reading files of /proc would hold up a worker, and a node
// whose workers are all held by handlers that block is just the one that somebody should hear of.
// Who sets an alarm clears it, so all of them are cleared when the watch ends.
#pragma once
#include "operations/alarm_settings.hpp"
#include "operations/network_load.hpp"
#include "runtime/gen_server.hpp"
#include "runtime/system_info.hpp"
#include <map>
#include <memory>
#include <set>

namespace roost::detail {

/// What one look has seen.
struct node_sample {
  struct mailbox {
    pid process;
    std::size_t length = 0;
  };
  struct link {
    std::string node;
    double queued = 0;  // part of distribution.buffer
  };

  system_details system;
  std::map<std::string, interface_bytes> interfaces;
  std::map<std::string, std::uint64_t> speeds;  // bits per second
  std::vector<mailbox> mailboxes;               // the longest, longest first
  std::vector<link> links;                      // the fullest first
};

/// What is known from one look to the next. One thread at a time.
class node_watch {
 public:
  explicit node_watch(const alarm_settings& settings);
  node_watch(const node_watch&) = delete;
  node_watch& operator=(const node_watch&) = delete;
  ~node_watch();

  void look(node_sample sample);

 private:
  using time_point = std::chrono::steady_clock::time_point;
  struct heard_reports;

  void set(const std::string& id, const std::string& description);
  void clear(const std::string& id);
  /// `describe` is asked only while the alarm is set.
  template <class F>
  void check(
      const alarm_check& check, const std::string& id, double value, time_point now, F describe);
  void check_system(const node_sample& sample);
  void check_schedulers(const node_sample& sample);
  void check_network(const node_sample& sample);
  void check_traffic(const node_sample& sample);
  void check_crash_loops(time_point now);

  alarm_settings settings_;
  std::set<std::string> raised_;
  std::map<std::string, threshold> thresholds_;  // by the alarm's id
  std::optional<node_sample> before_;
  std::unique_ptr<heard_reports> reports_;
};

/// The child of the supervisor: the thread lives as long as it.
class alarm_watch {
 public:
  static constexpr auto name = "operations.alarms";
  using messages = roost::messages<>;

  static init_result<alarm_watch> init(const alarm_settings& settings);
  alarm_watch(alarm_watch&&) noexcept;
  alarm_watch& operator=(alarm_watch&&) noexcept;
  ~alarm_watch();

 private:
  class looking;
  explicit alarm_watch(const alarm_settings& settings);

  std::unique_ptr<looking> looking_;
};

}  // namespace roost::detail
