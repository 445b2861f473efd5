// private: what the observer knows: what a node has answered, and what has changed since the look
// before.
#pragma once
#include "operations/observe/asker.hpp"
#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace roost::detail {

enum class page : std::uint8_t { system, processes, tree, sockets, nodes };
inline constexpr std::size_t page_count = 5;

enum class order : std::uint8_t { memory, mailbox, reductions, rate, uptime };

/// What somebody has chosen by keys.
struct choice {
  page shown = page::system;
  order by = order::memory;
  std::string node = {};     // empty: the one that is attached to
  std::size_t scrolled = 0;  // lines
  bool paused = false;
  bool help = false;
};

/// Of one look. Null: not asked, or not answered.
struct look {
  std::string node;                // whose it is
  std::vector<std::string> nodes;  // that may be chosen, the one that is attached to first
  json info, links, processes, tree, endpoints, pub_subs, topics, sockets, alarms;
  std::vector<std::pair<std::string, json>> others;  // System.info of each node
  std::map<std::string, double> rates;  // of messages of a process, bytes of a link, …, per second
  std::string trouble;                  // why something is missing
  std::chrono::steady_clock::time_point at;

  double rate(const std::string& key) const;  // NaN: not known
};

/// Asks again and again, and keeps the numbers that rates are made of.
class looks {
 public:
  explicit looks(asker& asked) : asked_(asked) {}

  /// What this page shows. Trouble is in the look, not thrown, unless nobody answers at all.
  look take(const choice& chosen, std::chrono::steady_clock::time_point now);

 private:
  using numbers = std::map<std::string, double>;

  json ask(look& into, const char* function, json arguments);
  void ask_for_page(look& into, const choice& chosen);
  void count(const look& into, numbers& sums) const;

  asker& asked_;
  std::string node_;
  numbers before_;
  std::chrono::steady_clock::time_point before_at_;
};

// Readers of answers, which may come from another version: what is not there is 0 or empty.
double number_in(const json& from, std::string_view key);
std::string text_in(const json& from, std::string_view key);  // clean

}  // namespace roost::detail
