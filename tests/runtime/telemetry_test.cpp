#include "runtime/telemetry.hpp"
#include "runtime/process_info.hpp"
#include "tests/support.hpp"

using namespace roost;
using namespace roost::test;

namespace {

/// Handlers of one test, gone with it.
struct listeners {
  std::vector<std::string> ids;

  void on(std::string id, const std::vector<std::string>& events, telemetry::handler handler) {
    telemetry::attach_many(id, events, std::move(handler));
    ids.push_back(std::move(id));
  }
  ~listeners() {
    for (auto& id : ids) telemetry::detach(id);
  }
};

/// An event and its values as text.
std::string show(
    std::string_view event, const telemetry::values& measurements,
    const telemetry::values& metadata) {
  std::string line(event);
  for (auto* values : {&measurements, &metadata})
    for (auto& one : *values)
      line.append(" ").append(one.name).append("=").append(one.value.to_string());
  return line;
}

/// A handler that writes down what it sees.
telemetry::handler into(std::vector<std::string>& lines) {
  return [&lines](std::string_view event, const auto& measurements, const auto& metadata) {
    lines.push_back(show(event, measurements, metadata));
  };
}

struct parcel { int weight = 0; };

struct sleeper {
  struct sleep { std::shared_future<void> until; };
  struct note {};
  using messages = roost::messages<sleep, note>;
  void handle_cast(const sleep& s) { s.until.wait(); }
  void handle_cast(note) {}
};

}  // namespace

TEST_CASE_FIXTURE(listeners, "whoever is attached sees the numbers and the context of an event") {
  static const telemetry::event joined{"phoenix.channel_joined"};
  CHECK_FALSE(joined.enabled());
  telemetry::execute(joined, {{"duration", 1ms}}, {{"topic", "room:0"}});

  std::vector<std::string> lines;
  on("writer", {"phoenix.channel_joined"}, into(lines));
  CHECK(joined.enabled());
  telemetry::execute(joined, {{"duration", 1ms}}, {{"topic", "room:1"}});
  telemetry::execute("phoenix.channel_joined", {{"duration", 2}});
  telemetry::execute("phoenix.nobody_listens", {{"duration", 3}});
  CHECK(
      lines == std::vector<std::string>{
                   "phoenix.channel_joined duration=1000000 topic=room:1",
                   "phoenix.channel_joined duration=2"});
  CHECK(telemetry::detach("writer"));
  CHECK_FALSE(telemetry::detach("writer"));
  CHECK_FALSE(joined.enabled());
  telemetry::execute(joined, {{"duration", 1ms}});
  CHECK(lines.size() == 2);
}

TEST_CASE_FIXTURE(listeners, "values are read as what they are, and anything else is an error") {
  static const telemetry::event sent{"post.sent"};
  parcel gift{5};
  int seen = 0;
  on("reader", {"post.sent"}, [&](auto, const auto& measurements, const auto& metadata) {
    CHECK(measurements["count"].integer() == -3);
    CHECK(measurements["count"].real() == -3.0);
    CHECK(measurements["size"].to_string() == "18446744073709551615");
    CHECK(measurements["share"].real() == 0.5);
    CHECK(metadata["urgent"].boolean());
    CHECK(metadata["parcel"].template as<parcel>()->weight == 5);
    CHECK(metadata["parcel"].template as<sleeper>() == nullptr);
    CHECK(metadata.find("colour") == nullptr);
    CHECK_THROWS_WITH_AS(
        metadata["colour"], "expected a value colour, got urgent, parcel", std::out_of_range);
    CHECK_THROWS_WITH_AS(
        measurements["share"].integer(), "expected the value to be an integer, got 0.500000",
        std::invalid_argument);
    ++seen;
  });
  telemetry::execute(
      sent, {{"count", -3}, {"size", ~std::uint64_t{0}}, {"share", 0.5}},
      {{"urgent", true}, {"parcel", gift}});
  CHECK(seen == 1);
}

TEST_CASE_FIXTURE(
    listeners, "a handler that throws is detached from all its events, and the others go on") {
  static const telemetry::event one{"shop.opened"};
  static const telemetry::event other{"shop.closed"};
  log_capture quiet;
  std::vector<std::string> lines;
  std::vector<std::string> failures;
  int calls = 0;
  on("clumsy", {"shop.opened", "shop.closed"}, [&](auto, const auto&, const auto&) {
    ++calls;
    throw std::runtime_error("dropped a vase");
  });
  on("writer", {"shop.opened", "shop.closed"}, into(lines));
  on("failures", {"telemetry.handler.failure"}, [&](auto, const auto&, const auto& metadata) {
    failures.push_back(
        metadata["handler_id"].to_string() + " " + metadata["event_name"].to_string() + " " +
        metadata["kind"].to_string() + " " + metadata["reason"].to_string());
  });
  CHECK_NOTHROW(telemetry::execute(one, {}));
  CHECK_NOTHROW(telemetry::execute(one, {}));
  CHECK_NOTHROW(telemetry::execute(other, {}));
  CHECK(calls == 1);
  CHECK(lines == std::vector<std::string>{"shop.opened", "shop.opened", "shop.closed"});
  CHECK(failures == std::vector<std::string>{"clumsy shop.opened error dropped a vase"});
  CHECK(quiet.saw("", "telemetry handler failed"));
  CHECK_FALSE(telemetry::detach("clumsy"));
}

TEST_CASE_FIXTURE(
    listeners, "an id is attached once, and handlers are found by the beginning of an event") {
  auto nothing = [](auto, const auto&, const auto&) {};
  on("first", {"garden.tree.planted", "garden.tree.felled"}, nothing);
  on("second", {"gardener.hired"}, nothing);
  CHECK_THROWS_WITH_AS(
      telemetry::attach("first", "garden.pond.dug", nothing), doctest::Contains("already_exists"),
      telemetry::already_exists);
  CHECK(telemetry::list_handlers("garden").size() == 2);
  CHECK(telemetry::list_handlers("garden.tree.felled").size() == 1);
  CHECK(telemetry::list_handlers("gardener").front().id == "second");
  CHECK_THROWS_AS(telemetry::attach("third", "garden.pond.dug", nullptr), std::invalid_argument);
  CHECK_THROWS_AS(telemetry::attach("third", "", nothing), std::invalid_argument);
}

TEST_CASE_FIXTURE(listeners, "a span says when it starts, how long it took, and why it failed") {
  static const telemetry::span_event request{"my_app.request"};
  CHECK(telemetry::span(request, {}, [] { return 1; }) == 1);  // nobody listens

  std::vector<std::string> events;
  std::vector<std::string> contexts;
  on("spans", {"my_app.request.start", "my_app.request.stop", "my_app.request.exception"},
     [&](auto event, const auto& measurements, const auto& metadata) {
       auto line = std::string(event) + " " + metadata["path"].to_string();
       for (auto* name : {"bytes"})
         if (auto* value = measurements.find(name)) line += " " + value->to_string();
       for (auto* name : {"status", "kind", "reason"})
         if (auto* value = metadata.find(name)) line += " " + value->to_string();
       if (!event.ends_with("start")) CHECK(measurements["duration"].integer() >= 0);
       CHECK(measurements["monotonic_time"].integer() > 0);
       events.push_back(line);
       contexts.push_back(metadata["telemetry_span_context"].to_string());
     });
  CHECK(telemetry::span(request, {{"path", "/"}}, [] { return 2; }) == 2);
  telemetry::span(request, {{"path", "/file"}}, [](telemetry::outcome& outcome) {
    outcome.measure("bytes", std::int64_t{4096});
    outcome.note("status", std::string("sent"));
  });
  CHECK_THROWS_AS(
      telemetry::span(
          request, {{"path", "/bad"}}, []() -> int { throw std::runtime_error("no such page"); }),
      std::runtime_error);
  CHECK(
      events == std::vector<std::string>{
                    "my_app.request.start /", "my_app.request.stop /", "my_app.request.start /file",
                    "my_app.request.stop /file 4096 sent", "my_app.request.start /bad",
                    "my_app.request.exception /bad error no such page"});
  CHECK(contexts[0] == contexts[1]);
  CHECK(contexts[0] != contexts[2]);
}

TEST_CASE_FIXTURE(listeners, "handlers come and go while other threads execute") {
  static const telemetry::event tick{"clock.tick"};
  std::atomic<bool> over{false};
  std::vector<std::thread> clocks;
  for (int i = 0; i < 3; ++i)
    clocks.emplace_back([&] {
      while (!over) telemetry::execute(tick, {{"count", 1}});
    });
  for (int i = 0; i < 200; ++i) {
    auto sum = std::make_unique<std::atomic<std::int64_t>>(0);
    telemetry::attach("counter", "clock.tick", [&sum](auto, const auto& measurements, const auto&) {
      sum->fetch_add(measurements["count"].integer());
    });
    while (sum->load() == 0) std::this_thread::yield();
    CHECK(telemetry::detach("counter"));
    sum.reset();  // nobody adds to it any more: detach has waited for that
  }
  over = true;
  for (auto& clock : clocks) clock.join();
}

TEST_CASE_FIXTURE(listeners, "a handler may detach itself, and attach another") {
  static const telemetry::event bell{"bell.rang"};
  std::vector<std::string> lines;
  ids = {"second"};
  telemetry::attach("first", "bell.rang", [&](auto event, const auto&, const auto&) {
    CHECK(telemetry::detach("first"));
    telemetry::attach("second", "bell.rang", into(lines));
    lines.push_back("first " + std::string(event));
  });
  telemetry::execute(bell, {});
  telemetry::execute(bell, {});
  CHECK(lines == std::vector<std::string>{"first bell.rang", "bell.rang"});
}

TEST_CASE_FIXTURE(node, "a full mailbox tells telemetry what it dropped") {
  log_capture quiet;
  listeners here;
  std::promise<std::string> line;
  std::atomic<bool> told{false};
  here.on(
      "drops", {"roost.mailbox.dropped"},
      [&](auto event, const auto& measurements, const auto& metadata) {
        if (!told.exchange(true)) line.set_value(show(event, measurements, metadata));
      });
  std::promise<void> wake;
  auto busy = roost::start<sleeper>({.name = "busy", .mailbox = {.limit = 10}});
  cast(busy, sleeper::sleep{wake.get_future().share()});
  for (int i = 0; i < 30; ++i) cast(busy, sleeper::note{});
  wake.set_value();
  auto text = line.get_future().get();
  CHECK(text.find("roost.mailbox.dropped count=") == 0);
  CHECK(text.find("process=" + to_string(busy.process())) != text.npos);
  CHECK(text.find("name=busy") != text.npos);
  CHECK(eventually([&] { return process_info(busy.process()).get()->messages_dropped >= 10; }));
}
