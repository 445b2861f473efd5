// Groups of errors, and who hears of them when.
#include "operations/error_table.hpp"
#include "channels/json.hpp"
#include "operations/error_reports.hpp"
#include "operations/sentry.hpp"
#include <doctest/doctest.h>

using namespace roost;
using namespace roost::detail;
using namespace std::chrono_literals;

namespace {

const auto start = std::chrono::steady_clock::time_point() + 1h;
const auto noon = std::chrono::system_clock::time_point() + 12h;

tracked_error error(std::string message, log_level severity = log_level::error) {
  return {.type = "std::runtime_error", .message = std::move(message), .severity = severity};
}

std::optional<tracked_error> reported(std::vector<telemetry::argument> fields) {
  return error_of_report(telemetry::values(fields));
}

}  // namespace

TEST_CASE("equal errors are one group with a count") {
  error_table table;
  CHECK(table.add(error("user 1"), start, noon)->is_new);
  CHECK_FALSE(table.add(error("user 2"), start + 1s, noon + 1s)->is_new);
  CHECK(table.add(error("no paper"), start + 2s, noon + 2s)->is_new);
  auto all = table.list();
  REQUIRE(all.size() == 2);
  CHECK(all[0].last.message == "no paper");
  CHECK(all[1].count == 2);
  CHECK(all[1].first_seen == noon);
  CHECK(all[1].last_seen == noon + 1s);
  CHECK(all[1].last.message == "user 2");

  CHECK(table.clear(all[1].fingerprint));
  CHECK_FALSE(table.clear(all[1].fingerprint));
  CHECK(table.list().size() == 1);
  CHECK(table.add(error("user 3"), start + 3s, noon)->is_new);  // it comes again: new
}

TEST_CASE("the group that was seen longest ago goes") {
  error_table table{{.max_groups = 2}};
  table.add(error("a"), start, noon);
  table.add(error("b"), start, noon);
  table.add(error("a"), start, noon);
  table.add(error("c"), start, noon);
  auto all = table.list();
  REQUIRE(all.size() == 2);
  CHECK(all[0].last.message == "c");
  CHECK(all[1].last.message == "a");
}

TEST_CASE("a storm is counted, not tracked") {
  error_table table{{.max_per_second = 10}};
  for (int i = 0; i < 25; ++i) table.add(error("storm"), start, noon);
  CHECK(table.list()[0].count == 10);
  CHECK(table.errors() == 25);
  CHECK(table.uncounted() == 15);
  CHECK(table.add(error("calm"), start + 1s, noon));
}

TEST_CASE("a rule fires when its count is reached within its window, and then keeps quiet") {
  error_table table{
      {.rules = {{.count = 3, .window = 60s, .severity = log_level::error}}, .quiet = 10min}};
  auto fires = [&](auto after, log_level severity = log_level::error) {
    return !table.add(error("x", severity), start + after, noon)->rules.empty();
  };
  CHECK_FALSE(fires(0s));
  CHECK_FALSE(fires(0s, log_level::warning));  // not bad enough to count
  CHECK_FALSE(fires(50s));
  CHECK_FALSE(fires(90s));  // the first is too long ago
  CHECK(fires(95s));
  CHECK_FALSE(fires(96s));
  CHECK(fires(95s + 11min) == false);  // alone in its window
  CHECK_FALSE(fires(96s + 11min));
  CHECK(fires(97s + 11min, log_level::critical));
}

TEST_CASE("secrets are out before anything is kept") {
  error_table table;
  tracked_error bad = error("GET /?token=abc failed");
  bad.context = {{"session_cookie", "xyz"}, {"url", "http://u:p@h/"}};
  table.add(bad, start, noon);
  auto kept = table.list()[0].last;
  CHECK(kept.message == "GET /?token=[FILTERED] failed");
  CHECK(kept.context[0].second == "[FILTERED]");
  CHECK(kept.context[1].second == "http://[FILTERED]@h/");
}

TEST_CASE("what an error says is bounded") {
  error_table table;
  tracked_error huge = error(std::string(1 << 20, 'x'));
  huge.stack.assign(10'000, "f()");
  huge.context.assign(1'000, {"a", "b"});
  table.add(huge, start, noon);
  auto kept = table.list()[0].last;
  CHECK(kept.message.size() < 5'000);
  CHECK(kept.stack.size() == 64);
  CHECK(kept.context.size() == 32);
}

TEST_CASE("a crash report is an error") {
  std::vector<std::string> stack{"chat::post()+0x1", "main+0x2"};
  auto found = reported(
      {{"kind", "crash_report"},
       {"reason", "{error, std::runtime_error, \"no paper, \"blue\"\", chat::room, chat::post}"},
       {"where", "chat::room, chat::post"},
       {"process", "<0.42.0>"},
       {"name", "room"},
       {"last_message", "chat::post{body=secret}"},
       {"stack", stack}});
  REQUIRE(found);
  CHECK(found->type == "std::runtime_error");
  CHECK(found->message == "no paper, \"blue\"");
  CHECK(found->where == "chat::room, chat::post");
  CHECK(found->stack == stack);
  CHECK(found->context[2] == std::pair<std::string, std::string>("message_type", "chat::post"));

  auto exit = reported({{"kind", "crash_report"}, {"reason", "out of paper"}});
  CHECK(exit->type == "exit");
  CHECK(exit->message == "out of paper");
}

TEST_CASE("of a supervisor's reports those are errors that no crash report tells") {
  auto of = [](const char* context, const char* reason) {
    return reported(
        {{"kind", "supervisor_report"},
         {"context", context},
         {"supervisor", "chat"},
         {"child", "room"},
         {"reason", reason}});
  };
  CHECK_FALSE(of("child_terminated", "{error, std::runtime_error, \"x\"}"));
  CHECK(of("child_terminated", "killed"));
  CHECK(of("shutdown", "reached_max_restart_intensity")->severity == log_level::critical);
  CHECK(of("shutdown_error", "killed")->severity == log_level::warning);
  CHECK(of("start_error", "no port")->where == "chat, room");
  CHECK_FALSE(reported({{"kind", "progress_report"}}));
}

TEST_CASE("a DSN says where events go and by which key") {
  auto dsn = parse_sentry_dsn("https://abc@o1.ingest.sentry.io/42");
  CHECK(dsn.envelope_url == "https://o1.ingest.sentry.io/api/42/envelope/");
  CHECK(sentry_auth(dsn) == "Sentry sentry_version=7, sentry_client=roost/0.1.0, sentry_key=abc");
  CHECK(
      parse_sentry_dsn("http://abc:def@127.0.0.1:9000/errors/7").envelope_url ==
      "http://127.0.0.1:9000/errors/api/7/envelope/");
  for (auto bad : {"", "abc", "https://sentry.io/42", "https://abc@sentry.io", "ftp://a@b/1"})
    CHECK_THROWS_AS(parse_sentry_dsn(bad), std::invalid_argument);
}

TEST_CASE("an envelope has three lines, and survives what is no UTF-8") {
  error_group group{
      .fingerprint = "0123456789abcdef",
      .last = error("bad \xFF byte", log_level::critical),
      .count = 2,
      .first_seen = noon,
      .last_seen = noon};
  group.last.stack = {"inner()", "outer()"};
  auto text = sentry_envelope(group, {.node = "chat@h", .release = "1.2"});
  auto first = text.find('\n');
  auto second = text.find('\n', first + 1);
  auto item = *json::parse(text.substr(first + 1, second - first - 1));
  auto body = text.substr(second + 1, text.size() - second - 2);
  CHECK(item.get<std::size_t>("length") == body.size());
  auto event = *json::parse(body);
  CHECK(event.get<std::string>("level") == "fatal");
  CHECK(event.get<std::string>("server_name") == "chat@h");
  CHECK(event.get<std::string>("timestamp") == "1970-01-01T12:00:00.000Z");
  CHECK(event.get<std::string>("event_id").size() == 32);
  auto exception = event["exception"]["values"][0];
  CHECK(exception.get<std::string>("value") == "bad \xEF\xBF\xBD byte");
  CHECK(exception["stacktrace"]["frames"][0].get<std::string>("function") == "outer()");
}
