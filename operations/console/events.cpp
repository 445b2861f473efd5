#include "operations/console/events.hpp"
#include "operations/console/console_server.hpp"
#include "runtime/gen_server.hpp"
#include "runtime/spawn.hpp"
#include "runtime/sys.hpp"
#include <deque>
#include <set>

namespace roost::detail {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t most_kept = 1'000;
constexpr auto patience = 10min;

struct watch_process {
  using reply = bool;
  pid process;
};
struct trace_process {
  using reply = bool;
  pid process;
  bool on = true;
};
struct take_lines { using reply = std::vector<std::string>; };
struct nobody_asked {};

class session_events {
 public:
  using messages = roost::messages<watch_process, trace_process, take_lines>;
  using infos = roost::messages<down, trace_event, nobody_asked>;

  static init_result<session_events> init() { return session_events{}; }

  bool handle_call(watch_process what) {
    monitor(what.process);
    return alive();
  }

  bool handle_call(trace_process what) {
    if (what.on) {
      sys::trace(what.process, self()).then([] {}, [](const exit_reason&) {});
      traced_.insert(what.process);
    } else if (traced_.erase(what.process) != 0) {
      sys::trace(what.process, pid{}).then([] {}, [](const exit_reason&) {});
    }
    return alive();
  }

  std::vector<std::string> handle_call(take_lines) {
    alive();
    std::vector<std::string> taken;
    if (dropped_ != 0)
      taken.push_back(std::to_string(std::exchange(dropped_, 0)) + " earlier events were dropped");
    taken.insert(taken.end(), lines_.begin(), lines_.end());
    lines_.clear();
    return taken;
  }

  void handle_info(const down& gone) {
    add("DOWN " + pid_text(gone.process) + " " + gone.reason.to_string());
  }

  void handle_info(const trace_event& event) {
    bool came = event.kind == trace_event::received;
    auto line = pid_text(event.process) + (came ? " got " : " replied ") + event.message;
    if (event.peer) line += (came ? " from " : " to ") + pid_text(event.peer);
    add(std::move(line));
  }

  cast_result handle_info(const nobody_asked&) {
    if (std::chrono::steady_clock::now() - asked_ >= patience) return stop(exit_reason::normal);
    send_after(patience / 4, self(), nobody_asked{});
    return noreply();
  }

  void terminate(const exit_reason&) {
    for (auto one : traced_) sys::trace(one, pid{}).then([] {}, [](const exit_reason&) {});
  }

 private:
  bool alive() {
    asked_ = std::chrono::steady_clock::now();
    if (!std::exchange(watching_, true)) send_after(patience / 4, self(), nobody_asked{});
    return true;
  }
  void add(std::string line) {
    lines_.push_back(std::move(line));
    if (lines_.size() <= most_kept) return;
    lines_.pop_front();
    ++dropped_;
  }

  std::deque<std::string> lines_;
  std::set<pid> traced_;
  std::size_t dropped_ = 0;
  std::chrono::steady_clock::time_point asked_;
  bool watching_ = false;
};

std::string name_of_session(const std::string& session) { return "console.session." + session; }

/// Starts it when it is needed for the first time.
server<session_events> events_of(const std::string& session) {
  if (session.empty())
    throw std::invalid_argument("expected a session to tell events to, got none");
  auto name = name_of_session(session);
  if (!whereis(name)) {
    try {
      start<session_events>({.name = process_name(name)});
    } catch (const start_error&) {
      // Another thread was faster.
    }
  }
  return server<session_events>(process_name(name));
}

}  // namespace

void monitor_for(const std::string& session, pid process) {
  call(events_of(session), watch_process{process}).get();
}

void trace_for(const std::string& session, pid process) {
  if (!is_alive(process))
    throw std::invalid_argument("expected a process that runs, got " + to_string(process));
  call(events_of(session), trace_process{process}).get();
}

void no_trace_for(const std::string& session, pid process) {
  call(events_of(session), trace_process{process, false}).get();
}

json take_events(const std::string& session) {
  auto list = json::array();
  if (!whereis(name_of_session(session))) return list;
  for (auto& line : call(events_of(session), take_lines{}).get()) list.push_back(json(line));
  return list;
}

}  // namespace roost::detail
