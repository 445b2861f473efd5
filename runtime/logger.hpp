// runtime/logger.hpp
//
// Structured logging: a line is a message and named values, handed to handlers as data and turned
// into text last. The default handler writes to stderr. A line below the level costs a comparison
// and no copy; any other is copied into a bounded queue, and one thread of the logger does the
// rest, so a slow disk never holds up a worker.
//
//   roost::logger::info("listening", {{"ip", ip}, {"port", port}});
//   // 2026-01-31 12:00:00.123 [info] listening ip=127.0.0.1 port=4000
//
//   auto id = roost::logger::attach([](const roost::log_event& event) { … });   // sees data
//   roost::logger::detach(id);
//
//   logger:                  # in the configuration file; all keys, with their defaults
//     level: info            # a name of log_level below
//     format: text           # or json: one object on each line
//     file: log/chat.log     # instead of stderr, which is the default
//     max_file_size: 10MiB   # then chat.log becomes chat.1.log, …
//     max_files: 5           # how many of these older files are kept, 1–1000
//     filter: [password, token]
//     queue_limit: 8192      # lines, 16–1000000
//     sync_limit: 0          # lines; 0: never
//     burst_limit: 500       # lines in a burst_window; 0: no limit
//     burst_window: 1s
//
// Order: handlers see lines in the order of the queue, one at a time, on the logger's thread. What
// a handler itself logs is dropped, or it would never end. A handler that throws is detached, and
// the others are told once.
// Overload: past queue_limit lines (or 32 MiB of text) new lines are dropped and counted, and a
// line "N messages dropped" follows; error and above may use a quarter more, so that a flood of
// details cannot hide a crash. The default handler writes at most burst_limit lines in a window
// (error and above: a quarter more) and then tells how many it dropped; other handlers see them
// all. OTP first makes the callers wait; here a worker serves many processes, so nobody waits,
// unless sync_limit says that callers wait, up to a second, while so many lines are queued. The
// queue never grows past its limit, so there is no flush_qlen at which it would be thrown away.
// Exit: returning from main or std::exit writes what is queued, for at most 5 s. abort and _exit do
// not: call flush() before. A daemon forks before its first line, as the thread stays behind.
// Hygiene: a field whose name contains a word of `filter`, in any case, reads [FILTERED].
// Errors: functions throw only what copying a string may throw, unless they say otherwise.
// Thread safety: everything may be called from any thread.
// Source: Erlang's logger and logger_olp, Elixir's Logger (local times, one line as text), and
// Phoenix's filter_parameters. Elixir's level is debug by default, here it is info.
#pragma once
#include <atomic>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace roost {

class config;

/// As in syslog: the lower, the more urgent.
enum class log_level : int {
  none = -1,  // for set_level only: nothing is logged
  emergency,
  alert,
  critical,
  error,
  warning,
  notice,
  info,
  debug
};

std::string_view to_string(log_level level);
log_level to_log_level(std::string_view name);  // throws std::invalid_argument

/// What a handler finds in a field. Unsigned integers above 2^63-1 arrive as text.
using log_value = std::variant<std::string, std::int64_t, double, bool, std::vector<std::string>>;

struct log_field {
  std::string name;
  log_value value;
};

struct log_event {
  std::chrono::system_clock::time_point time = {};
  log_level level = log_level::info;
  std::string message = {};
  std::string kind = {};  // crash_report, supervisor_report, progress_report; empty: a plain line
  std::vector<log_field> fields = {};

  const log_value* field(std::string_view name) const;  // null if there is none
};

using log_handler = std::function<void(const log_event&)>;

/// A process ended with a reason that is no orderly end.
struct crash_report {
  std::string process = {};       // "<0.42.0>"
  std::string name = {};          // registered name, or empty
  std::string initial_call = {};  // the server's type
  std::string reason = {};
  std::string last_message = {};
  std::vector<std::string> ancestors = {};
  std::size_t message_queue_len = 0;
  std::vector<std::string> links = {};
  std::string where = {};  // the handler that threw
  std::string state = {};  // of the server, as text
  /// Where the exception was thrown, the innermost frame first; empty unless somebody tracks
  /// errors.
  std::vector<std::string> stack = {};
};

enum class log_format { text, json };

struct logger_options {
  log_level level = log_level::info;
  log_format format = log_format::text;
  std::string file = {};                      // empty: stderr
  std::uint64_t max_file_size = 10ull << 20;  // bytes, at least 1
  std::size_t max_files = 5;                  // older files, 1–1000
  std::size_t queue_limit = 8192;             // lines, at least 16; some 2 MB when they are short
  std::size_t sync_limit = 0;     // lines that wait before callers do; 0: callers never do
  std::size_t burst_limit = 500;  // lines per window that the default handler writes
  std::chrono::milliseconds burst_window{1000};

  // Phoenix filters password only; our sockets also carry their token as a parameter.
  std::vector<std::string> filter = {"password", "token"};
};

template <class T>
concept log_integer = std::integral<T> && !std::same_as<T, bool> && !std::same_as<T, char>;

/// A value on its way into a field: it refers to its text, which is copied only if the line is
/// logged. Not for keeping.
class log_view {
 public:
  template <std::same_as<bool> T>
  log_view(T value) : kind_(kind::boolean), boolean_(value) {}

  template <log_integer T>
  log_view(T value)
      : kind_(std::signed_integral<T> ? kind::integer : kind::natural),
        integer_(static_cast<std::int64_t>(value)) {}

  template <std::floating_point T>
  log_view(T value) : kind_(kind::real), real_(static_cast<double>(value)) {}

  log_view(const char* text) : kind_(kind::text), text_(text ? text : "(null)") {}
  log_view(std::string_view text) : kind_(kind::text), text_(text) {}
  log_view(const std::string& text) : kind_(kind::text), text_(text) {}
  log_view(const std::vector<std::string>& list) : kind_(kind::list), list_(&list) {}

  log_value copy() const;

 private:
  enum class kind : char { text, integer, natural, real, boolean, list };

  kind kind_;
  union {
    std::string_view text_;
    std::int64_t integer_;  // of a natural, its bits
    double real_;
    bool boolean_;
    const std::vector<std::string>* list_;
  };
};

struct log_argument {
  std::string_view name;
  log_view value;
};
using log_arguments = std::initializer_list<log_argument>;

namespace detail {
extern std::atomic<int> log_threshold;
}

namespace logger {

inline bool enabled(log_level level) noexcept {
  return static_cast<int>(level) <= detail::log_threshold.load(std::memory_order_relaxed);
}

void set_level(log_level level) noexcept;
log_level level() noexcept;

/// Queues a line whatever the level is; the functions below ask enabled() first.
void write(log_level level, std::string_view message, log_arguments fields);
void write(log_event event);

inline void log(log_level level, std::string_view message, log_arguments fields = {}) {
  if (enabled(level)) write(level, message, fields);
}

inline void emergency(std::string_view message, log_arguments fields = {}) {
  log(log_level::emergency, message, fields);
}
inline void alert(std::string_view message, log_arguments fields = {}) {
  log(log_level::alert, message, fields);
}
inline void critical(std::string_view message, log_arguments fields = {}) {
  log(log_level::critical, message, fields);
}
inline void error(std::string_view message, log_arguments fields = {}) {
  log(log_level::error, message, fields);
}
inline void warning(std::string_view message, log_arguments fields = {}) {
  log(log_level::warning, message, fields);
}
inline void notice(std::string_view message, log_arguments fields = {}) {
  log(log_level::notice, message, fields);
}
inline void info(std::string_view message, log_arguments fields = {}) {
  log(log_level::info, message, fields);
}
inline void debug(std::string_view message, log_arguments fields = {}) {
  log(log_level::debug, message, fields);
}

/// A report is data with a kind; as text it is a block with one field on each line. It is also the
/// telemetry event `roost.report`, whatever the level, with kind, level, message and the fields as
/// metadata; a list is an object of type std::vector<std::string>.
void report(
    log_level level, std::string_view kind, std::string_view message, log_arguments fields = {});
void report(const crash_report& crash);  // at level error

using handler_id = std::uint64_t;
inline constexpr handler_id default_handler = 0;  // stderr or the file; detach it to be silent

/// The handler sees every line that is logged from now on.
handler_id attach(log_handler handler);

/// The handler sees what was logged before; when detach returns it is not running and never runs
/// again, unless it detached itself: then its present call ends first. Waits for the queue. False
/// if there is no such handler.
bool detach(handler_id id);

/// Waits until everything logged before is handled and written; false if that takes too long, or
/// inside a handler, which it would wait for.
bool flush(std::chrono::milliseconds timeout = std::chrono::seconds(5));

/// True for names of fields that the filter hides; for code that logs parameters itself.
bool is_filtered(std::string_view name);

/// One event as the default handler writes it, without the newline at the end.
std::string format_text(const log_event& event, bool colors = false);
std::string format_json(const log_event& event);

}  // namespace logger

/// Sets the level, the filter, the queue's limit and the default handler, which is attached again
/// if it was detached. Throws std::invalid_argument if the file cannot be opened.
void configure_logger(const logger_options& options);

/// The same from section `logger` of the configuration. Throws config_error.
void configure_logger(const config& config);

}  // namespace roost
