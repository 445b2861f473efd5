// private: what the command line asks for.
#pragma once
#include "bench/load/threshold.hpp"
#include <sys/types.h>
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace roost::load {

using std::chrono::milliseconds;

enum class mode { idle, join, echo, fanout, latency, mixed, herd, soak };
std::string_view name_of(mode mode);

struct target {
  std::string host;
  std::uint16_t port = 0;
  std::string path;  // with vsn=2.0.0
  bool secure = false;
};
/// ws://host:port/socket or wss://…; "/websocket" is added as phoenix.js does. Throws
/// std::invalid_argument.
target parse_target(const std::string& url);

struct options {
  load::mode mode = load::mode::idle;
  std::vector<target> targets;
  std::vector<pid_t> pids;
  std::vector<std::string> sources;  // addresses that connections come from; empty: any

  std::uint32_t connections = 100;
  std::uint32_t processes = 0;     // of this tool; 0: as many as the descriptors need
  std::uint32_t connecting = 256;  // at the same time
  std::uint32_t rounds = 1;        // of the mode join
  std::uint32_t topics = 1;
  std::string topic = "room:load";  // with more topics than one, a number is added
  std::string echo_event = "echo";
  std::string broadcast_event = "shout";
  std::string presence_event = "presence";
  std::string crash_event = "crash";
  std::uint32_t payload = 64;  // bytes
  std::uint32_t window = 1;    // messages under way: per connection (echo), in all (fanout)
  double rate = 0;             // of broadcasts (latency) or operations (mixed, soak) a second
  double crash_rate = 1;       // channels that are crashed a second (soak)
  milliseconds warm_up{1'000};
  milliseconds duration{5'000};
  milliseconds timeout{60'000};  // for all to connect, or to come back

  // Weights of the mode mixed.
  std::uint32_t echoes = 80, broadcasts = 5, joins = 5, leaves = 5, presences = 5;

  std::string json_file;
  std::string html_file;
  bool quiet = false;
  std::vector<threshold> thresholds;
};

/// Ends the process for --help and for what cannot be.
options parse_options(int argc, char** argv);

/// "127.0.0.2-127.0.0.20" and lists with commas. Throws std::invalid_argument.
std::vector<std::string> parse_sources(const std::string& text);

}  // namespace roost::load
