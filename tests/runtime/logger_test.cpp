#include "runtime/logger.hpp"
#include "runtime/config.hpp"
#include "runtime/logger_output.hpp"
#include "runtime/telemetry.hpp"
#include "tests/support.hpp"
#include <doctest/doctest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <future>
#include <limits>
#include <stdexcept>
#include <thread>

namespace logger = roost::logger;
using roost::log_event;
using roost::log_level;
using texts = std::vector<std::string>;

namespace {

/// A quiet logger whose lines end in a list; everything is as before when the test ends.
class collected {
 public:
  explicit collected(const roost::logger_options& options = {}) {
    roost::configure_logger(options);
    logger::detach(logger::default_handler);
    id_ = logger::attach([this](const log_event& event) { events_.push_back(event); });
  }

  ~collected() {
    logger::detach(id_);
    roost::configure_logger(roost::logger_options{});
    logger::flush();
  }

  const std::vector<log_event>& events() const {
    REQUIRE(logger::flush());
    return events_;
  }

  texts messages() const {
    texts result;
    for (const auto& event : events()) result.push_back(event.message);
    return result;
  }

 private:
  std::vector<log_event> events_;  // written on the logger's thread, read after a flush
  logger::handler_id id_ = 0;
};

/// A handler that holds the logger's thread in its first line until it is released.
class blocking_handler {
 public:
  blocking_handler() {
    id_ = logger::attach([this, first = true](const log_event&) mutable {
      if (!std::exchange(first, false)) return;
      entered_.set_value();
      released_.get_future().wait();
    });
    logger::flush();  // so that the slow line is alone in the thread's hand
    logger::info("slow");
    entered_.get_future().wait();
  }

  void release() {
    released_.set_value();
    logger::detach(id_);
  }

 private:
  std::promise<void> entered_;
  std::promise<void> released_;
  logger::handler_id id_ = 0;
};

class temporary_folder {
 public:
  temporary_folder() {
    auto name = (std::filesystem::temp_directory_path() / "roost_logger_test_XXXXXX").string();
    path = ::mkdtemp(name.data());
  }
  ~temporary_folder() { std::filesystem::remove_all(path); }

  std::filesystem::path path;
};

texts lines_of(const std::filesystem::path& path) {
  texts lines;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

struct outcome {
  int status;
  texts errors;  // the lines on stderr
};

/// Runs one test of this program in a process of its own.
outcome run_test(const std::string& name) {
  auto program = std::filesystem::read_symlink("/proc/self/exe").string();
  auto command = "'" + program + "' --no-skip --test-case='" + name + "' 2>&1 >/dev/null";
  auto* output = ::popen(command.c_str(), "r");
  REQUIRE(output);
  texts lines;
  for (char line[512]; std::fgets(line, sizeof line, output);) {
    lines.emplace_back(line);
    lines.back().pop_back();
  }
  return {WEXITSTATUS(::pclose(output)), lines};
}

log_event event_at(
    log_level level, std::string message, std::vector<roost::log_field> fields = {}) {
  ::setenv("TZ", "UTC", 1);
  ::tzset();
  auto time = std::chrono::system_clock::from_time_t(1769860800) + std::chrono::milliseconds(123);
  return {.time = time, .level = level, .message = std::move(message), .fields = std::move(fields)};
}

template <class T>
T value_of(const log_event& event, std::string_view name) {
  const auto* value = event.field(name);
  REQUIRE(value);
  REQUIRE(std::holds_alternative<T>(*value));
  return std::get<T>(*value);
}

}  // namespace

TEST_CASE("a line reaches a handler as a message and typed fields") {
  collected log;
  std::string ip = "127.0.0.1";
  std::uint16_t port = 4000;
  logger::info(
      "listening", {{"ip", ip},
                    {"port", port},
                    {"tls", false},
                    {"load", 0.5},
                    {"host", "localhost"},
                    {"hash", std::numeric_limits<std::uint64_t>::max()},
                    {"nobody", static_cast<const char*>(nullptr)},
                    {"origins", texts{"//a", "//b"}}});
  REQUIRE(log.events().size() == 1);
  const auto& event = log.events()[0];
  CHECK(event.level == log_level::info);
  CHECK(event.message == "listening");
  CHECK(event.kind.empty());
  CHECK(value_of<std::string>(event, "ip") == "127.0.0.1");
  CHECK(value_of<std::int64_t>(event, "port") == 4000);
  CHECK(value_of<bool>(event, "tls") == false);
  CHECK(value_of<double>(event, "load") == 0.5);
  CHECK(value_of<std::string>(event, "host") == "localhost");
  CHECK(value_of<std::string>(event, "hash") == "18446744073709551615");
  CHECK(value_of<std::string>(event, "nobody") == "(null)");
  CHECK(value_of<texts>(event, "origins") == texts{"//a", "//b"});
  CHECK(event.field("absent") == nullptr);
}

TEST_CASE("lines below the level go nowhere") {
  collected log({.level = log_level::warning});
  logger::debug("a");
  logger::info("b");
  logger::notice("c");
  logger::warning("d");
  logger::error("e");
  logger::critical("f");
  logger::alert("g");
  logger::emergency("h");
  logger::report(log_level::info, "progress_report", "i");
  CHECK(log.messages() == texts{"d", "e", "f", "g", "h"});
  CHECK_FALSE(logger::enabled(log_level::notice));
  logger::set_level(log_level::none);
  logger::emergency("j");
  CHECK(log.messages().size() == 5);
  logger::set_level(log_level::debug);
  logger::debug("k");
  CHECK(log.messages().back() == "k");
}

TEST_CASE("every level has its OTP name") {
  for (auto name :
       {"none", "emergency", "alert", "critical", "error", "warning", "notice", "info", "debug"})
    CHECK(to_string(roost::to_log_level(name)) == name);
  CHECK_THROWS_WITH(
      roost::to_log_level("loud"),
      "expected level to be one of none, emergency, alert, critical, error, warning, "
      "notice, info, debug, got loud");
}

TEST_CASE("a plain line is one line of text") {
  auto event = event_at(
      log_level::info, "listening",
      {{"ip", "127.0.0.1"}, {"port", std::int64_t{4000}}, {"tls", false}});
  CHECK(
      logger::format_text(event) ==
      "2026-01-31 12:00:00.123 [info] listening ip=127.0.0.1 port=4000 tls=false");
  CHECK(
      logger::format_text(event_at(log_level::error, "broken"), true) ==
      "2026-01-31 12:00:00.123 \x1b[31m[error]\x1b[0m broken");
  CHECK(
      logger::format_text(event_at(log_level::info, "fine"), true) ==
      "2026-01-31 12:00:00.123 [info] fine");
}

TEST_CASE("text from outside cannot forge a line or drive the terminal") {
  auto event = event_at(
      log_level::info, "said\n2026-01-31 [info] forged \x1b[2J",
      {{"name", "a b"}, {"text", "x\ny=\"1\""}, {"empty", ""}, {"bell", "\a"}});
  CHECK(
      logger::format_text(event) ==
      "2026-01-31 12:00:00.123 [info] said\n  2026-01-31 [info] forged \\x1b[2J "
      "name=\"a b\" text=\"x\\ny=\\\"1\\\"\" empty=\"\" bell=\"\\x07\"");
}

TEST_CASE("a crash report is data for handlers and a block of text for people") {
  collected log;
  logger::report(
      {.process = "<0.42.0>",
       .name = "counter",
       .initial_call = "app::counter",
       .reason = "out of paper",
       .last_message = "print{pages = 3}\nurgent",
       .ancestors = {"<0.2.0>", "<0.1.0>"},
       .message_queue_len = 7,
       .where = "handle_cast(print)"});
  REQUIRE(log.events().size() == 1);
  auto event = log.events()[0];
  CHECK(event.level == log_level::error);
  CHECK(event.kind == "crash_report");
  CHECK(value_of<std::string>(event, "process") == "<0.42.0>");
  CHECK(value_of<std::int64_t>(event, "message_queue_len") == 7);
  CHECK(value_of<texts>(event, "ancestors") == texts{"<0.2.0>", "<0.1.0>"});
  CHECK(value_of<texts>(event, "links").empty());
  event.time = event_at(log_level::error, "").time;
  CHECK(
      logger::format_text(event) ==
      "2026-01-31 12:00:00.123 [error] crash_report: process counter <0.42.0> crashed: out of "
      "paper\n"
      "  process: <0.42.0>\n"
      "  name: counter\n"
      "  initial_call: app::counter\n"
      "  reason: out of paper\n"
      "  where: handle_cast(print)\n"
      "  last_message: print{pages = 3}\n"
      "    urgent\n"
      "  message_queue_len: 7\n"
      "  ancestors: [<0.2.0>, <0.1.0>]");
}

TEST_CASE("JSON has one object on each line, whatever the text holds") {
  auto event = event_at(
      log_level::notice, "said \"hi\"\n\x1b",
      {{"n", std::int64_t{-3}},
       {"x", 0.25},
       {"no", std::numeric_limits<double>::infinity()},
       {"ok", true},
       {"list", texts{"a", "b"}},
       {"bytes", "\xff h\xc3\xa9 \xed\xa0\x80 \xf0\x9f\x90\x93 \x80\x80\x80"}});
  event.kind = "progress_report";
  CHECK(
      logger::format_json(event) ==
      R"({"time":"2026-01-31T12:00:00.123Z","level":"notice",)"
      R"("message":"said \"hi\"\u000a\u001b","kind":"progress_report","fields":{)"
      R"("n":-3,"x":0.25,"no":"inf","ok":true,"list":["a","b"],)"
      "\"bytes\":\"\uFFFD h\u00e9 \uFFFD\uFFFD\uFFFD \U0001F413 \uFFFD\uFFFD\uFFFD\"}}");
  CHECK(
      logger::format_json(event_at(log_level::info, "up")) ==
      R"({"time":"2026-01-31T12:00:00.123Z","level":"info","message":"up"})");
}

TEST_CASE("fields with secret names are filtered before any handler sees them") {
  collected log;
  logger::info("join", {{"name", "ann"}, {"user_Password", "hunter2"}, {"token", 42}});
  const auto& event = log.events()[0];
  CHECK(value_of<std::string>(event, "name") == "ann");
  CHECK(value_of<std::string>(event, "user_Password") == "[FILTERED]");
  CHECK(value_of<std::string>(event, "token") == "[FILTERED]");
  CHECK(logger::is_filtered("password_confirmation"));
  CHECK_FALSE(logger::is_filtered("pass"));
}

TEST_CASE("the filter is configurable") {
  collected log({.filter = {"iban"}});
  logger::info("paid", {{"iban", "DE00"}, {"password", "shown"}});
  CHECK(value_of<std::string>(log.events()[0], "iban") == "[FILTERED]");
  CHECK(value_of<std::string>(log.events()[0], "password") == "shown");
}

TEST_CASE("a handler sees the lines between attach and detach, in order") {
  collected log;
  texts seen;
  logger::info("before");
  auto id = logger::attach([&](const log_event& event) { seen.push_back(event.message); });
  for (int i = 0; i < 1000; ++i) logger::info(std::to_string(i));
  CHECK(logger::detach(id));
  logger::info("after");
  REQUIRE(logger::flush());
  REQUIRE(seen.size() == 1000);
  CHECK(seen.front() == "0");
  CHECK(seen.back() == "999");
  CHECK_FALSE(logger::detach(id));
  CHECK(log.messages().size() == 1002);
}

TEST_CASE("a handler that throws is detached, and the others hear of it once") {
  collected log;
  int calls = 0;
  auto id = logger::attach([&](const log_event&) {
    ++calls;
    throw std::runtime_error("no paper");
  });
  logger::info("one");
  logger::info("two");
  CHECK(log.messages() == texts{"one", "log handler detached", "two"});
  CHECK(calls == 1);
  CHECK(value_of<std::string>(log.events()[1], "reason") == "no paper");
  CHECK(value_of<std::int64_t>(log.events()[1], "handler") == static_cast<std::int64_t>(id));
  CHECK_FALSE(logger::detach(id));
}

TEST_CASE("a handler may log, flush, attach and detach without hanging the logger") {
  collected log;
  texts later;
  logger::handler_id own = 0;
  logger::handler_id second = 0;
  std::promise<void> known;
  own = logger::attach([&, ready = known.get_future().share()](const log_event&) {
    ready.wait();
    logger::info("an echo of an echo");
    CHECK_FALSE(logger::flush());
    second = logger::attach([&](const log_event& event) { later.push_back(event.message); });
    CHECK(logger::detach(own));
  });
  known.set_value();
  logger::info("one");
  logger::info("two");
  CHECK(log.messages() == texts{"one", "two"});
  CHECK(later == texts{"one", "two"});
  CHECK(logger::detach(second));
}

TEST_CASE("past the queue's limit lines are dropped and counted, errors last") {
  collected log({.queue_limit = 16});
  blocking_handler handler;
  for (int i = 0; i < 100; ++i) logger::info("flood");
  for (int i = 0; i < 10; ++i) logger::error("crash");
  CHECK_FALSE(logger::flush(std::chrono::milliseconds(1)));
  handler.release();

  std::int64_t dropped = 0;
  std::size_t floods = 0, crashes = 0;
  for (const auto& event : log.events()) {
    floods += event.message == "flood";
    crashes += event.message == "crash";
    if (event.field("dropped")) dropped += value_of<std::int64_t>(event, "dropped");
  }
  CHECK(floods == 15);
  CHECK(crashes == 4);
  CHECK(dropped == 91);
  CHECK(log.messages().back() == "91 messages dropped");
  logger::info("again");
  CHECK(log.messages().back() == "again");
}

TEST_CASE("a burst passes up to the limit, errors a quarter further, and each window begins anew") {
  using namespace std::chrono_literals;
  roost::detail::burst_limit limit(8, 1s);
  auto now = roost::detail::burst_limit::time_point{} + 1h;
  auto passed = [&](log_level level, int lines) {
    int count = 0;
    for (int i = 0; i < lines; ++i) count += limit.allow(level, now);
    return count;
  };
  CHECK_FALSE(limit.due());
  CHECK(passed(log_level::info, 10) == 8);
  CHECK(passed(log_level::error, 10) == 2);
  CHECK(limit.due() == now + 1s);
  CHECK(limit.take_dropped() == 10);
  CHECK_FALSE(limit.due());
  now += 1s;
  CHECK(passed(log_level::info, 10) == 8);
}

TEST_CASE("a flood of lines fills the log file up to the burst's limit, and the rest is counted") {
  temporary_folder folder;
  auto file = folder.path / "flood.log";
  roost::configure_logger({.file = file, .burst_limit = 5, .burst_window = std::chrono::hours(1)});
  std::size_t seen = 0;
  auto id = logger::attach([&](const log_event&) { ++seen; });
  for (int i = 0; i < 100; ++i) logger::info("line");
  logger::flush();
  logger::detach(id);
  CHECK(seen == 100);  // other handlers have no such limit
  auto lines = lines_of(file);
  REQUIRE(lines.size() == 6);
  CHECK(lines.back().ends_with("95 messages dropped dropped=95"));
  roost::configure_logger(roost::logger_options{});
}

TEST_CASE("what a burst has dropped is told when its window is over, without another line") {
  temporary_folder folder;
  auto file = folder.path / "flood.log";
  roost::configure_logger(
      {.file = file, .burst_limit = 1, .burst_window = std::chrono::milliseconds(50)});
  logger::info("one");
  logger::info("two");
  CHECK(roost::test::eventually([&] { return lines_of(file).size() >= 2; }));
  REQUIRE(lines_of(file).size() == 2);
  CHECK(lines_of(file).back().ends_with("1 messages dropped dropped=1"));
  roost::configure_logger(roost::logger_options{});
}

TEST_CASE("with a sync limit callers wait for a slow output instead of losing lines") {
  collected log({.queue_limit = 100, .sync_limit = 10});
  auto slow = logger::attach(
      [](const log_event&) { std::this_thread::sleep_for(std::chrono::microseconds(100)); });
  for (int i = 0; i < 500; ++i) logger::info("line");
  CHECK(log.events().size() == 500);
  logger::detach(slow);
}

TEST_CASE("a report is a telemetry event as well, whatever the level") {
  namespace telemetry = roost::telemetry;
  collected log({.level = log_level::none});
  std::vector<std::string> seen;
  telemetry::attach(
      "test", "roost.report",
      [&](std::string_view, const telemetry::values&, const telemetry::values& metadata) {
        seen.push_back(metadata["kind"].to_string() + " " + metadata["level"].to_string());
        if (auto* child = metadata.find("child")) seen.push_back(child->to_string());
        if (auto* links = metadata.find("links"))
          seen.push_back(links->as<texts>() ? links->as<texts>()->front() : "");
      });
  logger::report(log_level::debug, "progress_report", "child started", {{"child", "counter"}});
  roost::crash_report crash;
  crash.links = {"<0.1.0>"};
  logger::report(crash);
  telemetry::detach("test");
  logger::report(log_level::debug, "progress_report", "child started", {{"child", "counter"}});
  CHECK(seen == texts{"progress_report debug", "counter", "crash_report error", "<0.1.0>"});
  CHECK(log.events().empty());
}

TEST_CASE("hostile text stays within its JSON line, and every line can be read") {
  temporary_folder folder;
  auto file = folder.path / "hostile.log";
  roost::configure_logger({.format = roost::log_format::json, .file = file, .burst_limit = 0});
  std::string every_byte;
  for (int i = 0; i < 256; ++i) every_byte += static_cast<char>(i);
  for (const auto& text :
       {every_byte, std::string("\"}\n{\"level\":\"info\"}"), std::string("\\\"\\"),
        std::string("\xe2\x80\xa8 \xc0\xaf \xf5\x80\x80\x80 \xe2\x82")})
    logger::error(text, {{text, text}, {"list", texts{text}}});
  logger::flush();
  auto lines = lines_of(file);
  REQUIRE(lines.size() == 4);
  for (const auto& line : lines) {
    // YAML reads JSON; the raw bytes that JSON does not allow in a string must be gone.
    CHECK(std::ranges::none_of(line, [](char c) { return static_cast<unsigned char>(c) < 0x20; }));
    CHECK_NOTHROW(roost::config::from_text(line, "line"));
    auto parsed = roost::config::from_text(line, "line");
    CHECK(parsed.get<std::string>("level", "") == "error");
    CHECK(parsed.size("fields") == 2);
  }
  roost::configure_logger(roost::logger_options{});
}

TEST_CASE("huge lines fill the queue by their size") {
  collected log;
  blocking_handler handler;
  std::string huge(1 << 20, 'x');
  for (int i = 0; i < 64; ++i) logger::info("state", {{"state", huge}});
  handler.release();
  CHECK(log.messages().back() == "32 messages dropped");
}

TEST_CASE("threads log while handlers come and go") {
  collected log;
  constexpr int per_thread = 1000;
  std::atomic<bool> done = false;
  std::vector<std::thread> writers;
  for (int i = 0; i < 3; ++i)
    writers.emplace_back([i] {
      for (int j = 0; j < per_thread; ++j) logger::info("tick", {{"thread", i}, {"n", j}});
    });
  std::thread visitor([&] {
    while (!done) {
      int seen = 0;  // gone when detach returns, so a late call would be caught
      auto id = logger::attach([&seen](const log_event&) { ++seen; });
      logger::is_filtered("token");
      REQUIRE(logger::detach(id));
    }
  });
  for (auto& writer : writers) writer.join();
  done = true;
  visitor.join();

  std::vector<std::int64_t> next(writers.size());
  bool in_order = true;
  for (const auto& event : log.events()) {
    if (event.message != "tick") continue;  // a process of another test may still speak
    auto& expected = next[static_cast<std::size_t>(std::get<std::int64_t>(*event.field("thread")))];
    in_order = in_order && std::get<std::int64_t>(*event.field("n")) == expected++;
  }
  CHECK(in_order);
  for (auto count : next) CHECK(count == per_thread);
}

TEST_CASE("a log file rotates and keeps its older files") {
  temporary_folder folder;
  auto path = folder.path / "log" / "chat.log";
  roost::configure_logger({.file = path.string(), .max_file_size = 2000, .max_files = 2});
  for (int i = 1000; i < 1200; ++i) logger::info("line", {{"n", i}});
  REQUIRE(logger::flush());
  auto lines = lines_of(path);
  REQUIRE_FALSE(lines.empty());
  CHECK(lines.back().ends_with("[info] line n=1199"));
  auto older = lines_of(folder.path / "log" / "chat.1.log");
  REQUIRE_FALSE(older.empty());
  auto next = "n=" + std::to_string(1200 - static_cast<int>(lines.size()) - 1);
  CHECK(older.back().ends_with(next));
  CHECK(std::filesystem::exists(folder.path / "log" / "chat.2.log"));
  CHECK_FALSE(std::filesystem::exists(folder.path / "log" / "chat.3.log"));
  roost::configure_logger(roost::logger_options{});
  logger::flush();
}

TEST_CASE("the logger is configured from its section") {
  temporary_folder folder;
  auto path = (folder.path / "chat.log").string();
  auto conf = roost::config::from_text(
      "logger:\n  level: debug\n  format: json\n  file: " + path +
          "\n  max_file_size: 1MiB\n  max_files: 3\n  filter: [pin]\n  queue_limit: 100\n",
      "conf/chat.yaml");
  roost::configure_logger(conf);
  conf.check_unknown();
  logger::debug("hello", {{"pin", 1234}});
  REQUIRE(logger::flush());
  auto lines = lines_of(path);
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].ends_with(R"("level":"debug","message":"hello","fields":{"pin":"[FILTERED]"}})"));
  roost::configure_logger(roost::config());
  CHECK_FALSE(logger::enabled(log_level::debug));
  CHECK(logger::enabled(log_level::info));
  logger::flush();
}

TEST_CASE("a wrong logger setting names its line") {
  auto failure = [](std::string text) {
    try {
      roost::configure_logger(roost::config::from_text("logger:\n  " + text, "conf/chat.yaml"));
    } catch (const roost::config_error& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  CHECK(
      failure("level: loud") ==
      "expected logger.level to be one of none, emergency, alert, critical, error, warning, "
      "notice, info, debug, got loud (conf/chat.yaml:2)");
  CHECK(
      failure("format: xml") ==
      "expected logger.format to be text or json, got xml (conf/chat.yaml:2)");
  CHECK(
      failure("file: /dev/null/chat.log") ==
      "expected logger.file to be a writable log file, got /dev/null/chat.log "
      "(conf/chat.yaml:2)");
  CHECK(
      failure("max_files: 0") ==
      "expected logger.max_files to be 1–1000, got 0 (conf/chat.yaml:2)");
}

TEST_CASE("a program that logs and exits (run by another test)" * doctest::skip()) {
  roost::configure_logger({.queue_limit = 5000, .burst_limit = 0});
  static struct last_words {
    ~last_words() { logger::error("from a destructor"); }
  } last;
  for (int i = 0; i < 3000; ++i) logger::error("crash", {{"n", i}});
  std::exit(7);
}

TEST_CASE("exit writes everything that is queued, in order") {
  auto [status, lines] = run_test("a program that logs and exits*");
  CHECK(status == 7);
  REQUIRE(lines.size() == 3001);
  std::size_t in_order = 0;
  while (in_order < 3000 &&
         lines[in_order].ends_with("[error] crash n=" + std::to_string(in_order)))
    ++in_order;
  CHECK(in_order == 3000);
  CHECK(lines.back().ends_with("[error] from a destructor"));
}

TEST_CASE("a program whose disk is full for a while (run by another test)" * doctest::skip()) {
  temporary_folder folder;
  auto path = folder.path / "chat.log";
  roost::configure_logger({.file = path.string()});
  ::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  rlimit full{4096, before.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &full);
  for (int i = 0; i < 200; ++i) logger::error("a line that finds no room", {{"n", i}});
  logger::flush();
  ::setrlimit(RLIMIT_FSIZE, &before);
  logger::error("room again");
  logger::flush();
  auto lines = lines_of(path);
  std::fprintf(stderr, "%s\n", lines.empty() ? "nothing" : lines.back().c_str());
  std::filesystem::remove_all(folder.path);  // exit runs no destructors of this scope
  std::exit(0);
}

TEST_CASE("a full disk is told once, and the log goes on when there is room") {
  auto [status, lines] = run_test("a program whose disk is full*");
  CHECK(status == 0);
  REQUIRE(lines.size() == 2);
  CHECK(lines[0].starts_with("log lines are lost: "));
  CHECK(lines[1].ends_with("[error] room again"));
}
