// Crashes that become groups, and notices of them on their way to web services that fail at first.
#include "channels/json.hpp"
#include "operations/error_server.hpp"
#include "operations/notices.hpp"
#include "runtime/alarms.hpp"
#include "runtime/telemetry.hpp"
#include "supervision/supervisor.hpp"
#include "tests/net/http_server.hpp"
#include "tests/support.hpp"

using namespace roost;
using namespace roost::test;
using detail::error_server;
using detail::error_settings;
using detail::notice_server;
using detail::notice_settings;

namespace {

struct fragile {
  struct crash { std::string what; };
  using messages = roost::messages<crash>;
  void handle_cast(const crash& message) { throw std::runtime_error(message.what); }
};

/// A web service that answers with what it is told to, in this order, and then with 200.
struct service {
  struct seen {
    std::string target;
    std::string body;
    std::string authorization;
    std::string sentry;
    std::chrono::steady_clock::time_point at;
  };

  std::mutex mutex;
  std::vector<test::reply> replies;
  std::vector<seen> requests;
  http_server server{[this](const http_server::request& request) {
    std::lock_guard guard{mutex};
    auto header = [&](const char* name) { return std::string(request[name]); };
    requests.push_back(
        {std::string(request.target()), request.body(), header("authorization"),
         header("x-sentry-auth"), std::chrono::steady_clock::now()});
    if (replies.empty()) return test::reply{};
    auto next = replies.front();
    replies.erase(replies.begin());
    return next;
  }};

  std::size_t count() {
    std::lock_guard guard{mutex};
    return requests.size();
  }
  seen request(std::size_t i) {
    std::lock_guard guard{mutex};
    return requests.at(i);
  }
  json body(std::size_t i) { return *json::parse(request(i).body); }
};

struct tracking_node : test::node {
  log_capture quiet;
  service web;
  detail::webhook hook{.url = web.server.url("/hook?key=1"), .authorization = "Bearer abc"};

  void deliver(notice_settings settings = {}) {
    settings.webhook = hook;
    settings.first_delay = 10ms;
    settings.longest_delay = 50ms;
    roost::start_link<notice_server>({.name = notice_server::name}, settings);
  }
  void track(error_settings settings = {}) {
    roost::start_link<error_server>({.name = error_server::name}, settings);
  }
  void crash(const std::string& what) {
    auto one = roost::start_link<fragile>({.name = "fragile"});
    roost::cast(one, fragile::crash{what});
    CHECK(eventually([&] { return !is_alive(one.process()); }));
  }
};

}  // namespace

TEST_CASE_FIXTURE(tracking_node, "crashes are grouped, with their context and their stack") {
  track();
  crash("user 1 has token=abc");
  crash("user 2 has token=xyz");
  crash("no paper");
  auto all = error_groups();
  REQUIRE(all.size() == 2);
  CHECK(all[0].last.message == "no paper");
  auto& users = all[1];
  CHECK(users.count == 2);
  CHECK(users.last.type == "std::runtime_error");
  CHECK(users.last.message == "user 2 has token=[FILTERED]");
  CHECK(users.last.where.find("fragile") != std::string::npos);
  auto context = [&](std::string_view name) {
    for (auto& [key, text] : users.last.context)
      if (key == name) return text;
    return std::string();
  };
  CHECK(context("name") == "fragile");
  CHECK(context("process").starts_with("<0."));
  CHECK(context("message_type").find("crash") != std::string::npos);
  CHECK(context("message_type").find("token") == std::string::npos);
  REQUIRE_FALSE(users.last.stack.empty());
  CHECK(clear_error(users.fingerprint));
  CHECK(error_groups().size() == 1);
  CHECK(error_totals().groups == 1);
}

TEST_CASE_FIXTURE(tracking_node, "an exception that was caught is not the stack of a later end") {
  track();
  roost::spawn([] {
    try {
      throw std::runtime_error("harmless");
    } catch (const std::exception&) {
    }
    roost::exit("for another reason");
  });
  CHECK(eventually([] { return error_groups().size() == 1; }));
  CHECK(error_groups()[0].last.type == "exit");
}

TEST_CASE_FIXTURE(tracking_node, "a supervisor that gives up is critical") {
  track();
  roost::start_link(supervisor_spec{
      .name = "shaky", .max_restarts = 0, .children = {child<fragile>({.name = "child"})}});
  roost::cast(server<fragile>(whereis("child")), fragile::crash{"x"});
  CHECK(eventually([] { return error_groups().size() == 2; }));
  auto all = error_groups();
  CHECK(all[0].last.severity == log_level::critical);
  CHECK(all[0].last.where == "shaky, child");
}

TEST_CASE_FIXTURE(tracking_node, "nothing is tracked once the server has gone") {
  track();
  roost::exit(whereis(error_server::name), exit_reason::kill);
  CHECK(eventually([] { return telemetry::list_handlers("roost.report").empty(); }));
  crash("unheard");
  CHECK(error_groups().empty());
  CHECK_FALSE(clear_error("x"));
}

TEST_CASE_FIXTURE(tracking_node, "a webhook that fails at first is told all the same, once") {
  web.replies = {{.status = 500}, {.status = 503}};
  deliver();
  error_settings settings{.webhook = hook};
  settings.limits.rules = {{.count = 3, .window = 60s, .severity = log_level::error}};
  track(settings);
  crash("no paper");
  CHECK(eventually([&] { return web.count() == 3; }));
  CHECK(web.request(0).target == "/hook?key=1");
  CHECK(web.request(2).authorization == "Bearer abc");
  auto first = web.body(2);
  CHECK(first.get<std::string>("event") == "error");
  CHECK(first.get<std::string>("reason") == "first");
  CHECK(first.get<std::string>("message") == "no paper");
  CHECK(first.get<std::string>("severity") == "error");
  crash("no paper");
  crash("no paper");
  CHECK(eventually([&] { return web.count() == 4; }));
  auto frequent = web.body(3);
  CHECK(frequent.get<std::string>("reason") == "frequency");
  CHECK(frequent.get<int>("count") == 3);
  CHECK(frequent["rule"].get<int>("window_ms") == 60'000);
  crash("no paper");
  crash("another one");  // the fourth of the same is quiet: the next notice is of this one
  CHECK(eventually([&] { return web.count() == 5; }));
  CHECK(web.body(4).get<std::string>("message") == "another one");
}

TEST_CASE_FIXTURE(tracking_node, "alarms reach the webhook") {
  deliver();
  set_alarm("disk_full", "97 %");
  clear_alarm("disk_full");
  CHECK(eventually([&] { return web.count() == 2; }));
  CHECK(web.body(0).get<std::string>("event") == "alarm");
  CHECK(web.body(0).get<std::string>("state") == "set");
  CHECK(web.body(0).get<std::string>("description") == "97 %");
  CHECK(web.body(1).get<std::string>("state") == "clear");
}

TEST_CASE_FIXTURE(tracking_node, "Sentry gets an envelope, and says when to come again") {
  web.replies = {{.status = 429, .headers = {{"retry-after", "1"}}}};
  deliver();
  error_settings settings;
  settings.sentry = detail::parse_sentry_dsn("http://key@" + web.server.address() + "/42");
  track(settings);
  crash("no paper");
  CHECK(eventually([&] { return web.count() == 2; }));
  auto first = web.request(0);
  auto second = web.request(1);
  CHECK(first.target == "/api/42/envelope/");
  CHECK(first.sentry.find("sentry_key=key") != std::string::npos);
  CHECK(second.at - first.at >= 1s);  // although a pause of ours would have been 10 ms
  CHECK(second.body == first.body);
  CHECK(second.body.find("no paper") != std::string::npos);
}

TEST_CASE_FIXTURE(tracking_node, "Sentry is not flooded with one group") {
  deliver();
  error_settings settings;
  settings.sentry = detail::parse_sentry_dsn("http://key@" + web.server.address() + "/42");
  settings.limits.sentry_interval = 1h;
  track(settings);
  for (int i = 0; i < 5; ++i) crash("no paper");
  crash("something else");
  CHECK(eventually([&] { return web.count() == 2; }));
  CHECK(web.request(1).body.find("something else") != std::string::npos);
}

TEST_CASE_FIXTURE(tracking_node, "what a server calls wrong is not sent again") {
  web.replies = {{.status = 400}};
  deliver();
  auto failed = error_totals().failed;
  auto delivered = error_totals().delivered;
  set_alarm("a", "");
  set_alarm("b", "");
  CHECK(eventually([&] { return error_totals().delivered == delivered + 1; }));
  CHECK(error_totals().failed == failed + 1);
  CHECK(web.count() == 2);
  clear_alarm("a");
  clear_alarm("b");
}

TEST_CASE_FIXTURE(tracking_node, "while a server is down, a bounded number of notices waits") {
  // Nobody listens there any more.
  {
    tcp_server gone{[](tcp::socket&) {}};
    hook.url = "http://" + gone.address() + "/";
  }
  auto before = error_totals().dropped;
  deliver({.queue = 10, .attempts = 1'000});
  for (int i = 0; i < 30; ++i) detail::deliver(hook, "{}");
  CHECK(eventually([&] { return error_totals().dropped == before + 20; }));
}

TEST_CASE("after an attempt a notice is done, wrong, or waits") {
  notice_settings settings;
  settings.first_delay = 1s;
  settings.longest_delay = 8s;
  settings.attempts = 5;
  auto judge = [&](unsigned attempt, int status, const char* after = "", double random = 1) {
    return detail::judge_attempt(settings, attempt, status, after, random);
  };
  CHECK(judge(1, 204).what == detail::attempt_result::delivered);
  CHECK(judge(1, 301).what == detail::attempt_result::refused);
  CHECK(judge(1, 404).what == detail::attempt_result::refused);
  CHECK(judge(5, 500).what == detail::attempt_result::refused);  // often enough
  CHECK(judge(1, 0).delay == 1s);
  CHECK(judge(1, 0, "", 0).delay == 500ms);
  CHECK(judge(3, 500).delay == 4s);
  CHECK(judge(4, 503).delay == 8s);
  CHECK(judge(1, 429, "7", 0).delay == 7s);
  CHECK(judge(1, 429, "999999", 0).delay == 1h);
  CHECK(judge(1, 503, "Thu, 01 Jan 1970 00:00:00 GMT", 0).delay == 0s);
  CHECK(judge(1, 429, "soon", 1).delay == 1s);
}
