#include "bench/load/options.hpp"
#include <CLI/CLI.hpp>
#include <arpa/inet.h>
#include <algorithm>
#include <charconv>
#include <map>
#include <stdexcept>

namespace roost::load {
namespace {

constexpr auto about = R"(Loads servers of Phoenix channels, ours and Phoenix, and measures them.

Modes:
  idle     connects and joins, holds the sockets, and tells the memory of each
  join     the same as fast as it can, in rounds
  echo     each socket has --window messages under way and waits for their replies
  fanout   one socket broadcasts --window messages to all and waits until all have them
  latency  one socket broadcasts --rate messages a second to all
  mixed    --rate joins, leaves, presence updates, broadcasts and echoes a second
  herd     all but ten sockets are cut at once and come back; the ten tell what others notice
  soak     mixed for long, with channels that crash

A channel of the server has to answer the event `echo` with its payload, and to broadcast `shout`;
mixed also asks for `presence` (a reply), and soak for `crash` (which raises). Latencies are counted
from the moment when a message was due, not from when it was sent.

Ends with 0; with 1 when a --require does not hold; with 2 when the command line is wrong; with 3
when the clients could not connect or the server is gone.)";

const std::map<std::string, mode> modes{{"idle", mode::idle},       {"join", mode::join},
                                        {"echo", mode::echo},       {"fanout", mode::fanout},
                                        {"latency", mode::latency}, {"mixed", mode::mixed},
                                        {"herd", mode::herd},       {"soak", mode::soak}};

std::uint32_t address_number(const std::string& text) {
  in_addr address{};
  if (::inet_pton(AF_INET, text.c_str(), &address) != 1)
    throw std::invalid_argument("expected a source to be an IPv4 address, got \"" + text + "\"");
  return ntohl(address.s_addr);
}

std::string address_text(std::uint32_t number) {
  in_addr address{htonl(number)};
  char text[INET_ADDRSTRLEN];
  return ::inet_ntop(AF_INET, &address, text, sizeof text);
}

/// As CLI11 wants to hear of a value that cannot be.
template <class Parse>
CLI::Validator parses(Parse parse) {
  return CLI::Validator(
      [parse](std::string& text) {
        try {
          parse(text);
          return std::string();
        } catch (const std::invalid_argument& error) {
          return std::string(error.what());
        }
      },
      "");
}

}  // namespace

std::string_view name_of(mode mode) {
  for (auto& [name, value] : modes)
    if (value == mode) return name;
  return {};
}

target parse_target(const std::string& url) {
  auto refuse = [&] {
    throw std::invalid_argument(
        "expected a target to be ws://HOST:PORT/PATH or wss://HOST:PORT/PATH, got \"" + url + "\"");
  };
  target result;
  std::string_view rest = url;
  if (rest.starts_with("wss://"))
    result.secure = true;
  else if (!rest.starts_with("ws://"))
    refuse();
  rest.remove_prefix(result.secure ? 6 : 5);
  auto slash = std::min(rest.find('/'), rest.size());
  auto authority = rest.substr(0, slash);
  auto colon = authority.rfind(':');
  result.host = authority.substr(0, colon);
  result.port = result.secure ? 443 : 80;
  if (colon != authority.npos) {
    auto port = authority.substr(colon + 1);
    auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), result.port);
    if (error != std::errc() || end != port.data() + port.size() || result.port == 0) refuse();
  }
  if (result.host.empty()) refuse();
  if (result.host == "localhost") result.host = "127.0.0.1";
  result.path = rest.substr(slash);
  auto query = result.path.find('?');
  auto path = result.path.substr(0, query);
  if (path.empty() || path == "/") path = "/socket";
  if (!path.ends_with("/websocket")) path += "/websocket";
  auto parameters =
      query == std::string::npos ? std::string() : result.path.substr(query + 1) + "&";
  result.path = path + "?" + parameters + "vsn=2.0.0";
  return result;
}

std::vector<std::string> parse_sources(const std::string& text) {
  std::vector<std::string> sources;
  for (std::size_t begin = 0; begin <= text.size();) {
    auto end = std::min(text.find(',', begin), text.size());
    auto part = text.substr(begin, end - begin);
    auto dash = part.find('-');
    auto first = address_number(part.substr(0, dash));
    auto last = dash == part.npos ? first : address_number(part.substr(dash + 1));
    if (last < first || last - first > 255)
      throw std::invalid_argument(
          "expected a range of at most 256 addresses, the first one first, got \"" + part + "\"");
    for (auto number = first; number <= last; ++number) sources.push_back(address_text(number));
    begin = end + 1;
  }
  return sources;
}

options parse_options(int argc, char** argv) {
  options result;
  CLI::App app{about, "roost_load"};
  std::vector<std::string> urls, required;
  std::string sources, mode_name;
  double warm_up = 1, duration = 5, timeout = 60;

  app.add_option("mode", mode_name, "what to do, see above")
      ->required()
      ->check(CLI::IsMember(modes));
  app.add_option("targets", urls, "ws://HOST:PORT/socket, wss://…; several: clients in turns")
      ->required()
      ->check(parses(parse_target));
  app.add_option("-n,--connections", result.connections, "clients, over all targets")
      ->check(CLI::Range(1, 1'000'000));
  app.add_option("-p,--pid", result.pids, "servers whose processor time and memory are measured");
  app.add_option("--sources", sources, "addresses to connect from: 127.0.0.2-127.0.0.9,…")
      ->check(parses(parse_sources));
  app.add_option("--processes", result.processes, "of this tool; default: as many as needed")
      ->check(CLI::Range(1, 64));
  app.add_option("--connecting", result.connecting, "clients that connect at the same time")
      ->check(CLI::Range(1, 100'000));
  app.add_option("--rounds", result.rounds, "of the mode join")->check(CLI::Range(1, 1'000));
  app.add_option("--topic", result.topic, "that clients join");
  app.add_option("--topics", result.topics, "how many; the clients in turns")
      ->check(CLI::Range(1, 1'000'000));
  app.add_option("--echo-event", result.echo_event);
  app.add_option("--broadcast-event", result.broadcast_event);
  app.add_option("--presence-event", result.presence_event);
  app.add_option("--crash-event", result.crash_event);
  app.add_option("--payload", result.payload, "bytes of a message's JSON payload")
      ->check(CLI::Range(32, 1'000'000));
  app.add_option("-w,--window", result.window, "messages under way")->check(CLI::Range(1, 10'000));
  app.add_option("-r,--rate", result.rate, "a second, in all")->check(CLI::Range(0.0, 1e7));
  app.add_option("--crash-rate", result.crash_rate, "channels a second, in all (soak)")
      ->check(CLI::Range(0.0, 1e5));
  app.add_option("--warm-up", warm_up, "seconds before measuring")->check(CLI::Range(0.0, 3'600.0));
  app.add_option("-d,--duration", duration, "seconds of measuring")->check(CLI::Range(0.1, 1e6));
  app.add_option("--timeout", timeout, "seconds that all may take to connect")
      ->check(CLI::Range(0.1, 1e5));
  app.add_option("--echoes", result.echoes, "weight among the operations of mixed");
  app.add_option("--broadcasts", result.broadcasts, "the same");
  app.add_option("--joins", result.joins, "the same");
  app.add_option("--leaves", result.leaves, "the same");
  app.add_option("--presences", result.presences, "the same");
  app.add_option("--require", required, "\"p99 <= 5ms\", by the names of the JSON report")
      ->check(parses([](const std::string& text) { threshold parsed(text); }));
  app.add_option("--json", result.json_file, "writes a report for programs");
  app.add_option("--html", result.html_file, "writes a report with charts, in one file");
  app.add_flag("-q,--quiet", result.quiet, "no progress, only the figures");

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    auto code = app.exit(error);
    std::exit(code == 0 ? 0 : 2);
  }

  result.mode = modes.at(mode_name);
  for (auto& url : urls) result.targets.push_back(parse_target(url));
  if (!sources.empty()) result.sources = parse_sources(sources);
  for (auto& text : required) result.thresholds.emplace_back(text);
  auto in_milliseconds = [](double seconds) {
    return milliseconds(static_cast<std::int64_t>(seconds * 1e3));
  };
  result.warm_up = in_milliseconds(warm_up);
  result.duration = in_milliseconds(duration);
  result.timeout = in_milliseconds(timeout);
  if (result.rate == 0) result.rate = result.mode == mode::latency ? 20 : 1'000;
  auto weights =
      result.echoes + result.broadcasts + result.joins + result.leaves + result.presences;
  if (weights == 0) {
    std::fprintf(stderr, "expected one of the weights of mixed to be more than 0\n");
    std::exit(2);
  }
  return result;
}

}  // namespace roost::load
