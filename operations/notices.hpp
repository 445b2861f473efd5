// private: delivers notices to web services: a queue for each, one request at a time, on a thread
// of the blocking pool.
//
// What cannot be delivered is tried again after a pause that doubles, with jitter, or as long as
// the server says (429 or 503 with Retry-After). A request that the server calls wrong (4xx) is
// not. The queue has a limit; past it the oldest notice goes, and is counted. A stop of the node
// does not wait for what is queued.
//
// The webhook is told of every alarm that is set or cleared while the server lives.
//
//   detail::deliver({.to = destination::webhook, .url = …, .body = …});      // from anywhere
#pragma once
#include "runtime/config.hpp"
#include "runtime/gen_server.hpp"
#include "runtime/net/http_client.hpp"
#include <array>
#include <atomic>
#include <deque>

namespace roost::detail {

enum class destination : std::size_t { webhook, sentry };

struct notice {
  destination to = destination::webhook;
  std::string url;
  net::http_headers headers = {};
  std::string body = {};
};

/// Who is told of alarms and errors by a POST of JSON.
struct webhook {
  std::string url = {};            // empty: nobody
  std::string authorization = {};  // the header; empty: none
};

struct notice_settings {
  struct webhook webhook = {};
  std::size_t queue = 1'000;  // notices that wait for one destination
  std::chrono::milliseconds timeout{10'000};
  std::chrono::milliseconds first_delay{1'000};
  std::chrono::milliseconds longest_delay{60'000};
  unsigned attempts = 10;  // of one notice
};

/// Reads the sections webhook and notices. Throws config_error.
notice_settings read_notice_settings(const config& section);

/// Drops it when no server takes notices.
void deliver(notice notice);
void deliver(const webhook& to, std::string body);

struct notice_counts {
  std::atomic<std::uint64_t> delivered{0};
  std::atomic<std::uint64_t> failed{0};
  std::atomic<std::uint64_t> dropped{0};
};
notice_counts& notice_counters() noexcept;

/// What becomes of a notice after an attempt.
struct attempt_result {
  enum kind { delivered, refused, again } what = again;
  std::chrono::milliseconds delay{0};  // before the next attempt
};

/// Pure. `status` 0: there was no answer. `random` is 0 to 1.
attempt_result judge_attempt(
    const notice_settings& settings, unsigned attempt, int status, std::string_view retry_after,
    double random);

class notice_server {
 public:
  static constexpr auto name = "operations.notices";

  struct add { notice what; };
  using messages = roost::messages<add>;
  struct next_due { destination to; };
  using infos = roost::messages<next_due>;

  static init_result<notice_server> init(const notice_settings& settings);
  void handle_cast(add message);
  void handle_info(next_due due);
  std::string format_status() const;

 private:
  struct answer {
    int status = 0;
    std::string retry_after = {};
    std::string error = {};
  };
  struct lane {
    std::deque<notice> waiting;
    unsigned attempt = 0;  // of the first that waits
    bool busy = false;     // a request is under way, or a pause is
    bool told = false;     // the log knows that this destination fails
  };

  explicit notice_server(const notice_settings& settings);
  void send_first(destination to);
  void answered(destination to, const answer& answer);

  notice_settings settings_;
  std::shared_ptr<void> tells_of_alarms_;
  std::array<lane, 2> lanes_;
};

}  // namespace roost::detail
