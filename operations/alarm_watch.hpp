// private: watches this node and sets alarms (runtime/alarms.hpp): memory_high, schedulers_busy,
// network_saturated.INTERFACE, process_limit_near, file_limit_near, links_busy, long_mailboxes and
// crash_loop. docs/alarms.md explains them.
//
// What takes time (files of /proc, the table of processes) is read on the blocking pool. The server
// sets an alarm, and so it clears it, also when it ends.
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

class alarm_watch {
 public:
  static constexpr auto name = "operations.alarms";
  using messages = roost::messages<>;
  struct look_due {};
  using infos = roost::messages<look_due>;

  static init_result<alarm_watch> init(const alarm_settings& settings);
  alarm_watch(alarm_watch&&) noexcept;
  alarm_watch& operator=(alarm_watch&&) noexcept;
  ~alarm_watch();

  void handle_info(look_due);
  std::string format_status() const;

 private:
  struct heard_reports;
  /// The alarms that are set; clears them at the end.
  struct raised {
    raised() = default;
    raised(raised&&) noexcept = default;
    raised& operator=(raised&&) noexcept = default;
    ~raised();
    void set(const std::string& id, const std::string& description);
    void clear(const std::string& id);
    std::set<std::string> ids;
  };
  using time_point = std::chrono::steady_clock::time_point;

  explicit alarm_watch(const alarm_settings& settings);
  void look(node_sample sample);
  /// A part of what there is; `describe` is asked only when the alarm is set.
  template <class F>
  void check(
      const alarm_check& check, const std::string& id, double value, time_point now, F describe);
  void check_system(const node_sample& sample);
  void check_schedulers(const node_sample& sample);
  void check_network(const node_sample& sample);
  void check_traffic(const node_sample& sample);
  void check_crash_loops(time_point now);

  alarm_settings settings_;
  raised raised_;
  std::map<std::string, threshold> thresholds_;  // by the alarm's id
  std::optional<node_sample> before_;
  std::shared_ptr<heard_reports> reports_;
};

}  // namespace roost::detail
