#include "supervision/caf_child.hpp"
#include "runtime/caf.hpp"
#include "supervision/supervisor.hpp"
#include "tests/support.hpp"
#include <caf/event_based_actor.hpp>

using namespace roost;
using namespace roost::test;

namespace {

/// What became of the actors that were started.
struct diary {
  std::atomic<int> started{0};
  std::atomic<int> ended{0};
  std::mutex mutex;
  caf::actor latest;
  caf::error last_reason;

  caf::actor actor() {
    std::lock_guard guard{mutex};
    return latest;
  }
  caf::error reason() {
    std::lock_guard guard{mutex};
    return last_reason;
  }
};

/// Ends with an error when it is told "crash", well when told "leave", and never by itself.
caf::behavior worker(caf::event_based_actor* self, std::shared_ptr<diary> notes, bool stubborn) {
  {
    std::lock_guard guard{notes->mutex};
    notes->latest = self;
  }
  ++notes->started;
  self->attach_functor([notes](const caf::error& reason) {
    std::lock_guard guard{notes->mutex};
    notes->last_reason = reason;
    ++notes->ended;
  });
  if (stubborn) self->set_exit_handler([](const caf::exit_msg&) {});
  return {[=](const std::string& word) {
    if (word == "leave") return self->quit();
    self->quit(caf::make_error(caf::sec::runtime_error, word));
  }};
}

child_spec actor_child(std::shared_ptr<diary> notes, bool stubborn = false) {
  return caf_child("worker", [notes, stubborn](caf::actor_system& system) {
    return caf::actor(system.spawn(worker, notes, stubborn));
  });
}

}  // namespace

TEST_CASE_FIXTURE(node, "a CAF actor that fails is started again by its supervisor") {
  log_capture quiet;
  auto notes = std::make_shared<diary>();
  auto top = start_link({.children = {actor_child(notes)}});
  REQUIRE(eventually([&] { return notes->started == 1; }));
  caf::anon_send(notes->actor(), std::string("broken"));
  CHECK(eventually([&] { return notes->started == 2; }));
  CHECK(quiet.saw("supervisor_report", "broken"));
  caf::anon_send(notes->actor(), std::string("leave"));
  CHECK(eventually([&] { return notes->started == 3; }));  // permanent: whatever the reason
  CHECK(supervisor(top).count_children().get().active == 1);
  stop(top, exit_reason::shutdown).get();
  CHECK(eventually([&] { return notes->ended == 3; }));
}

TEST_CASE_FIXTURE(node, "a transient actor that quits stays away") {
  auto notes = std::make_shared<diary>();
  auto top = start_link({.children = {with(actor_child(notes), {.restart = transient})}});
  REQUIRE(eventually([&] { return notes->started == 1; }));
  caf::anon_send(notes->actor(), std::string("leave"));
  CHECK(eventually([&] { return supervisor(top).count_children().get().active == 0; }));
  CHECK(notes->started == 1);
  stop(top, exit_reason::shutdown).get();
}

TEST_CASE_FIXTURE(node, "an actor is told to shut down, and its supervisor waits for it") {
  auto notes = std::make_shared<diary>();
  auto top = start_link({.children = {actor_child(notes)}});
  REQUIRE(eventually([&] { return notes->started == 1; }));
  stop(top, exit_reason::shutdown).get();
  CHECK(notes->ended == 1);  // before the supervisor
  CHECK(notes->reason() == caf::exit_reason::user_shutdown);
}

TEST_CASE_FIXTURE(node, "an actor that does not listen is killed after the time that it is given") {
  log_capture quiet;
  auto notes = std::make_shared<diary>();
  auto top = start_link({.children = {with(actor_child(notes, true), {.shutdown = 20ms})}});
  REQUIRE(eventually([&] { return notes->started == 1; }));
  stop(top, exit_reason::shutdown).get();
  CHECK(eventually([&] { return notes->ended == 1; }));
  CHECK(notes->reason() == caf::exit_reason::kill);
}

TEST_CASE_FIXTURE(node, "an actor that is not started is a failed start") {
  log_capture quiet;
  auto nothing = caf_child("nothing", [](caf::actor_system&) { return caf::actor(); });
  CHECK_THROWS_WITH_AS(
      start_link({.children = {nothing}}), doctest::Contains("start an actor"), start_error);
  auto throws = caf_child(
      "throws", [](caf::actor_system&) -> caf::actor { throw std::runtime_error("no sensor"); });
  CHECK_THROWS_WITH_AS(
      start_link({.children = {throws}}), doctest::Contains("no sensor"), start_error);
}
