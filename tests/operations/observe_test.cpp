// What the observer draws: without a terminal, from answers made up here.
#include "operations/observe/keys.hpp"
#include "operations/observe/looks.hpp"
#include "operations/observe/screen.hpp"
#include "operations/observe/text.hpp"
#include "tests/support.hpp"
#include <cmath>

using namespace roost;
using namespace roost::detail;
using namespace std::chrono_literals;

namespace {

/// A node whose answers a test may change.
struct pretended_node final : asker {
  std::map<std::string, json> answers;
  std::vector<std::string> asked;

  pretended_node() {
    answers["Node.self"] = "chat@a";
    answers["Node.list"] = json::array({"chat@c", "chat@b"});
    answers["Alarms.list"] = json::array();
    answers["Endpoint.list"] = json::array();
    answers["PubSub.list"] = json::array();
    answers["System.info"] = *json::parse(R"({"node":"chat@a","application":"chat",
      "version":"1.2","uptime_ms":3720000,"processes":1234,"process_limit":1048576,"run_queue":3,
      "reductions":1000,"open_files":50,"file_limit":1000,"blocking_jobs":0,"ready":true,
      "memory":{"total":52428800,"processes":1048576,"used":943718400,"limit":1048576000,
      "of_a_cgroup":true},
      "schedulers":[{"scheduler":1,"utilization":0.5,"run_queue":1,"reductions":500},
                    {"scheduler":2,"utilization":0.25,"run_queue":2,"reductions":500}]})");
    set_process(1'000);
  }

  void set_process(int reductions) {
    json one{{"pid", "<0.5.1>"},         {"name", "room:lobby"}, {"message_queue_len", 7},
             {"reductions", reductions}, {"memory", 2048},       {"uptime_ms", 61'000}};
    json other{
        {"pid", "<0.6.1>"},
        {"initial_call", "chat::bot"},
        {"message_queue_len", 2000},
        {"reductions", 5'000},
        {"memory", 1024},
        {"uptime_ms", 1'000}};
    answers["Process.list"] = json::array({other, one});
  }

  json ask(
      const std::string& function, const json& /*arguments*/, const std::string& node) override {
    asked.push_back(function + (node.empty() ? "" : " of " + node));
    auto found = answers.find(function);
    if (found == answers.end()) throw std::runtime_error("undefined function " + function);
    return found->second;
  }
};

std::string as_text(const std::vector<screen_line>& lines, std::size_t width) {
  std::string text;
  for (auto& line : lines) text += as_plain(line, width) + "\n";
  return text;
}

bool has(const std::string& text, std::string_view part) { return text.find(part) != text.npos; }

constexpr auto noon = std::chrono::steady_clock::time_point{} + 1h;

}  // namespace

TEST_CASE("text from anywhere loses what a terminal would obey") {
  CHECK(clean("room:lobby") == "room:lobby");
  CHECK(clean("a\x1b[2Jb\r\n\t\x07\x7f") == "a?[2Jb?????");
  CHECK(
      clean("\xc2\x9b"
            "2J") == "?2J");  // CSI as one character
  CHECK(
      clean("\xe2\x80\xae"
            "txt") == "?txt");  // right to left from here
  CHECK(clean("\xff\xc0\x80\xed\xa0\x80") == "??????");
  CHECK(clean("grün 日本 🐣") == "grün 日本 🐣");
}

TEST_CASE("text is cut and filled by the columns that it takes") {
  CHECK(columns("grün") == 4);
  CHECK(columns("日本") == 4);
  CHECK(columns("e\xcc\x81") == 1);  // e and its accent
  CHECK(fitted("ab", 4) == "ab  ");
  CHECK(fitted("ab", 4, side::right) == "  ab");
  CHECK(fitted("abcdef", 4) == "abc…");
  CHECK(fitted("日本語", 4) == "日… ");
  CHECK(fitted("abc", 0).empty());
  for (std::size_t width = 1; width < 9; ++width)
    CHECK(columns(fitted("x日y本z語", width)) == width);
}

TEST_CASE("numbers are for people") {
  CHECK(human_bytes(512) == "512 B");
  CHECK(human_bytes(1536) == "1.5 KB");
  CHECK(human_bytes(200.0 * 1024 * 1024) == "200 MB");
  CHECK(human_count(0) == "0");
  CHECK(human_count(999) == "999");
  CHECK(human_count(1'234'567) == "1,234,567");
  CHECK(human_rate(2.5) == "2.5/s");
  CHECK(human_rate(std::numeric_limits<double>::quiet_NaN()) == "-");
  CHECK(human_duration(59'999) == "59s");
  CHECK(human_duration(3'720'000) == "1h 2m");
  CHECK(bar(0.5, 4) == "██··");
  CHECK(bar(7, 2) == "██");
  CHECK(columns(bar(0.3, 10)) == 10);
}

TEST_CASE("the first page shows schedulers, memory and limits") {
  pretended_node node;
  node.answers["Alarms.list"] =
      json::array({json{{"id", "memory_high"}, {"description", "90 % of the cgroup is used"}}});
  looks taken(node);
  choice chosen;
  auto seen = taken.take(chosen, noon);
  CHECK(seen.nodes == std::vector<std::string>{"chat@a", "chat@b", "chat@c"});
  auto lines = screen_of(seen, chosen, {100, 40});
  CHECK(lines.size() == 40);
  auto text = as_text(lines, 100);
  for (auto* part :
       {"chat@a", "chat 1.2", "up 1h 2m", "scheduler 1", "50 %, queue 1", "25 %, queue 2",
        "this program", "50.0 MB", "cgroup", "900 MB of 1000 MB", "1,234 of 1,048,576",
        "memory_high", "1 alarm(s) set", "1 System"})
    CHECK_MESSAGE(has(text, part), part);
}

TEST_CASE("rates are what has changed between two looks") {
  pretended_node node;
  looks taken(node);
  choice chosen{.shown = page::processes, .by = order::rate};
  auto first = taken.take(chosen, noon);
  CHECK(std::isnan(first.rate("process <0.5.1>")));
  node.set_process(3'000);
  auto second = taken.take(chosen, noon + 2s);
  CHECK(second.rate("process <0.5.1>") == 1'000);
  CHECK(second.rate("process <0.6.1>") == 0);
  // By the rate, whatever order the node answers in.
  auto text = as_text(body_of(second, chosen, 100), 100);
  CHECK(has(text, "rate*"));
  CHECK(text.find("room:lobby") < text.find("chat::bot"));
  CHECK(has(text, "1,000/s"));
  // Of another node nothing is known yet.
  chosen.node = "chat@b";
  CHECK(std::isnan(taken.take(chosen, noon + 3s).rate("process <0.5.1>")));
}

TEST_CASE("the tree is drawn with its branches, and what has no process stands out") {
  pretended_node node;
  node.answers["Supervisor.tree"] = *json::parse(R"([{"id":"chat","pid":"<0.1.1>",
    "type":"supervisor","strategy":"one_for_one","omitted":3,"children":[
      {"id":"rooms","pid":"<0.2.1>","type":"supervisor","strategy":"one_for_all","children":[
        {"id":"room:lobby","pid":"<0.3.1>","type":"worker"}]},
      {"id":"evil\u001b[2J","pid":null,"type":"worker"}]}])");
  looks taken(node);
  choice chosen{.shown = page::tree};
  auto body = body_of(taken.take(chosen, noon), chosen, 80);
  CHECK(
      as_text(body, 80) ==
      "chat  <0.1.1>  one_for_one\n"
      "├─ rooms  <0.2.1>  one_for_all\n"
      "│  └─ room:lobby  <0.3.1>  worker\n"
      "├─ evil?[2J  no process  worker\n"
      "└─ and 3 more\n");
  CHECK(body[3][1].with == ink::bad);
}

TEST_CASE("a screen is never larger than the terminal, and scrolls no further than its end") {
  pretended_node node;
  auto listed = json::array();
  for (int at = 0; at < 100; ++at)
    listed.push_back({{"pid", "<0." + std::to_string(at) + ".1>"}, {"name", "日本語 worker"}});
  node.answers["Process.list"] = listed;
  looks taken(node);
  choice chosen{.shown = page::processes};
  auto seen = taken.take(chosen, noon);
  for (screen_size size : {screen_size{80, 24}, {20, 8}, {1, 1}, {200, 60}, {3, 5}}) {
    chosen.scrolled = 1'000'000;
    auto lines = screen_of(seen, chosen, size);
    CHECK(lines.size() == size.height);
    for (auto& line : lines) CHECK(columns(as_plain(line, size.width)) <= size.width);
  }
  chosen.scrolled = 1'000'000;
  auto text = as_text(screen_of(seen, chosen, {80, 24}), 80);
  CHECK(has(text, "<0.99.1>"));
  CHECK(has(text, "0 below"));
}

TEST_CASE("keys are read whole, however they come") {
  std::string typed = "m\x1b[A\x1b[6~\tq";
  auto keys = keys_in(typed);
  REQUIRE(keys.size() == 5);
  CHECK(keys[0].letter == 'm');
  CHECK(keys[1].special == key::up);
  CHECK(keys[2].special == key::page_down);
  CHECK(keys[3].special == key::tab);
  CHECK(keys[4].letter == 'q');
  typed = "\x1b[";
  CHECK(keys_in(typed).empty());
  typed += "B";
  CHECK(keys_in(typed).at(0).special == key::down);
  typed = "\x1b[1;5Cx";  // one that means nothing here
  CHECK(keys_in(typed).at(0).letter == 'x');
}

TEST_CASE("keys turn pages, choose the order and the node, scroll and leave") {
  pretended_node node;
  looks taken(node);
  choice chosen;
  auto seen = taken.take(chosen, noon);
  screen_size size{80, 24};
  auto press = [&](char letter) { return apply({.letter = letter}, chosen, seen, size); };
  CHECK(press('3') == wish::look);
  CHECK(chosen.shown == page::tree);
  CHECK(apply({.special = key::tab}, chosen, seen, size) == wish::look);
  CHECK(chosen.shown == page::sockets);
  CHECK(press('r') == wish::look);
  CHECK(chosen.shown == page::processes);
  CHECK(chosen.by == order::reductions);
  CHECK(press('n') == wish::look);
  CHECK(chosen.node == "chat@b");
  CHECK(press('N') == wish::look);
  CHECK(chosen.node == "chat@c");
  CHECK(apply({.special = key::up}, chosen, seen, size) == wish::redraw);
  CHECK(chosen.scrolled == 0);
  CHECK(press(' ') == wish::redraw);
  CHECK(chosen.paused);
  CHECK(press('?') == wish::redraw);
  CHECK(has(as_text(body_of(seen, chosen, 80), 80), "mailbox"));
  CHECK(press('x') == wish::nothing);
  CHECK(press('q') == wish::leave);
  CHECK(press('\x03') == wish::leave);
}

TEST_CASE("what a node does not answer is told, and the rest is shown") {
  pretended_node node;
  looks taken(node);
  choice chosen{.shown = page::tree};
  auto seen = taken.take(chosen, noon);
  CHECK(has(seen.trouble, "undefined function Supervisor.tree"));
  CHECK(has(as_text(screen_of(seen, chosen, {80, 24}), 80), "undefined function"));
  chosen = {.node = "chat@gone"};
  seen = taken.take(chosen, noon + 1s);
  CHECK(seen.node == "chat@a");
  CHECK(seen.trouble == "chat@gone is gone");
  node.answers.erase("Node.self");
  CHECK_THROWS(taken.take(chosen, noon + 2s));
}

TEST_CASE("a picture has all pages, as plain text") {
  pretended_node node;
  looks taken(node);
  std::vector<std::pair<page, look>> all;
  for (auto shown : {page::system, page::processes, page::nodes}) {
    choice chosen{.shown = shown};
    all.emplace_back(shown, taken.take(chosen, noon));
  }
  auto text = picture_of(all, 100);
  for (auto* part :
       {"=== System ===", "=== Processes ===", "room:lobby", "=== Nodes ===", "chat@c"})
    CHECK_MESSAGE(has(text, part), part);
  CHECK_FALSE(has(text, "\x1b"));
}
