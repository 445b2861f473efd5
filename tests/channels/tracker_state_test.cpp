// What one shard of a tracker knows, and who can be seen.
#include "channels/tracker_state.hpp"
#include <doctest/doctest.h>
#include <algorithm>

using namespace roost::detail;
using roost::payload;
using roost::pid;

namespace {

const std::vector<std::size_t> sizes{100, 1'000};
const pid ann{1, 0}, ben{2, 0};

std::vector<std::string> keys(const std::vector<tracked_ptr>& values) {
  std::vector<std::string> all;
  for (auto& value : values) all.push_back(value->key);
  return all;
}
using strings = std::vector<std::string>;

/// Another node's state, as it arrives here.
void learn(tracker_state& here, const tracker_state& there, presence_changes& changes) {
  auto* replica = here.find_replica(there.self().node);
  if (replica == nullptr || replica->incarnation != there.self().incarnation)
    replica = &here.replica_appeared(there.self(), changes);
  here.merge(*replica, there.own().known().whole(), changes);
}

}  // namespace

TEST_CASE("a reference is added to a meta, and takes the place of one that is there") {
  auto text = [](std::string_view meta, std::string_view before = {}) {
    return std::string(with_reference(*payload::parse(meta), "R", before).text());
  };
  CHECK(text("{}") == R"({"phx_ref":"R"})");
  CHECK(text("{ } ") == R"({ "phx_ref":"R"})");
  CHECK(text(R"({"a":"}"})") == R"({"a":"}","phx_ref":"R"})");
  CHECK(text(R"({"a":1})", "Q") == R"({"a":1,"phx_ref":"R","phx_ref_prev":"Q"})");
  CHECK(text(R"({"phx_ref":"X","a":1,"phx_ref_prev":"Y"})") == R"({"a":1,"phx_ref":"R"})");
  CHECK_THROWS_WITH_AS(
      text("[1]"), "expected the meta of a presence to be a JSON object, got [1]",
      std::invalid_argument);
}

TEST_CASE("a process has a key of a topic once, others may have it too") {
  tracker_state state({"a", 1}, sizes);
  CHECK(state.join(ann, "room:1", "u", {{"n", 1}}).is_first);
  CHECK(state.join(ann, "room:1", "u", {{"n", 2}}).value == nullptr);
  CHECK_FALSE(state.join(ann, "room:2", "u", {}).is_first);
  CHECK(state.join(ben, "room:1", "u", {{"n", 3}}).is_first);
  CHECK(keys(state.index().list("room:1")) == strings{"u", "u"});
  CHECK(state.index().count("room:1") == 2);
  CHECK(state.index().count("room:2") == 1);
  CHECK(state.index().get_by_key("room:2", "u").size() == 1);
  CHECK(state.index().get_by_key("room:2", "x").empty());
  CHECK(state.take_own_changes().joins.size() == 3);
  CHECK(state.leave(ann));
  CHECK_FALSE(state.leave(ann));
  CHECK(state.take_own_changes().leaves.size() == 2);
  CHECK(state.index().count() == 1);
  CHECK(state.index().topics() == 1);
}

TEST_CASE("an update replaces the meta and says which it was") {
  tracker_state state({"a", 1}, sizes);
  auto before = state.join(ann, "room:1", "u", {{"n", 1}}).value;
  auto after = state.update(ann, "room:1", "u", {{"m", 2}});
  REQUIRE(after != nullptr);
  CHECK(after->meta["m"] == 2);
  CHECK_FALSE(after->meta.contains("n"));
  CHECK(reference_of(after->meta) != reference_of(before->meta));
  CHECK(after->meta["phx_ref_prev"] == reference_of(before->meta));
  auto changes = state.take_own_changes();
  CHECK(changes.joins.size() == 2);
  CHECK(changes.leaves == std::vector{before});
  CHECK(state.update(ben, "room:1", "u", {}) == nullptr);
  CHECK_THROWS_AS(
      state.update(ann, "room:1", "u", payload::binary(std::string_view("x"))),
      std::invalid_argument);
  CHECK(state.find(ann, "room:1", "u") == after);
  CHECK_THROWS_AS(state.join(ben, "room:1", "\xFF", {}), std::invalid_argument);
  CHECK_THROWS_AS(
      state.join(ben, "room:1", "v", payload::binary(std::string_view("x"))),
      std::invalid_argument);
  CHECK_FALSE(state.has(ben));
}

TEST_CASE("keys are listed in order, whoever has them") {
  tracker_state a({"a", 1}, sizes), b({"b", 1}, sizes);
  a.join(ann, "room:1", "m", {}), a.join(ann, "room:1", "z", {}), a.join(ann, "room:10", "a", {});
  b.join(ann, "room:1", "a", {}), b.join(ann, "room:1", "m", {}), b.join(ann, "room:0", "a", {});
  presence_changes changes;
  learn(a, b, changes);
  CHECK(changes.joins.size() == 3);
  CHECK(keys(a.index().list("room:1")) == strings{"a", "m", "m", "z"});
  CHECK(a.index().count("room:1") == 4);
  CHECK(a.index().list("room").empty());
}

TEST_CASE("a replica that is down is kept and not seen") {
  tracker_state a({"a", 1}, sizes), b({"b", 1}, sizes);
  b.join(ann, "room:1", "u", {});
  b.join(ben, "room:1", "v", {});
  presence_changes changes;
  learn(a, b, changes);
  changes = {};
  a.replica_down(*a.find_replica("b"), changes);
  CHECK(changes.leaves.size() == 2);
  CHECK(a.index().count() == 0);
  changes = {};
  a.replica_down(*a.find_replica("b"), changes);
  b.leave(ann);
  learn(a, b, changes);
  CHECK(changes.empty());
  a.replica_up(*a.find_replica("b"), changes);
  CHECK(keys(changes.joins) == strings{"v"});
  CHECK(keys(a.index().list("room:1")) == strings{"v"});
  a.replica_down(*a.find_replica("b"), changes);
  CHECK(a.remove_down_replicas() == strings{"b"});
  CHECK(a.find_replica("b") == nullptr);
}

TEST_CASE("a node that was started again takes its own place") {
  tracker_state a({"a", 1}, sizes), b({"b", 1}, sizes), again({"b", 2}, sizes);
  b.join(ann, "room:1", "old", {});
  again.join(ann, "room:1", "new", {});
  presence_changes changes;
  learn(a, b, changes);
  learn(a, again, changes);
  CHECK(keys(changes.leaves) == strings{"old"});
  CHECK(keys(a.index().list("room:1")) == strings{"new"});
}

TEST_CASE("a node that gets another name keeps its presences") {
  tracker_state a({"nonode@nohost", 1}, sizes), b({"b", 1}, sizes);
  for (auto process : {ann, ben}) a.join(process, "room:1", "u", {});
  a.join(ann, "room:1", "v", {});
  a.leave(ann, "room:1", "v");
  auto before = a.index().list("room:1");
  a.take_own_changes();
  a.rename({"a", 2});
  CHECK(a.take_own_changes().empty());
  CHECK(a.index().list("room:1").size() == 2);
  CHECK(a.index().count("room:1") == 2);
  presence_changes changes;
  learn(b, a, changes);
  CHECK(b.index().count("room:1") == 2);
  CHECK(a.leave(ann));
  CHECK(a.index().count("room:1") == 1);
}

TEST_CASE("after much coming and going nothing is left") {
  tracker_state state({"a", 1}, sizes);
  for (int i = 0; i < 100'000; ++i) {
    pid process{static_cast<std::uint64_t>(i + 1), 0};
    state.join(process, "room:" + std::to_string(i % 100), "k", {});
    if (i >= 50) state.leave(pid{static_cast<std::uint64_t>(i - 49), 0});
    if (i % 100 == 0) state.own().take_changes(), state.take_own_changes();
  }
  CHECK(state.index().count() == 50);
  CHECK(state.processes().size() == 50);
  state.own().take_changes();
  CHECK(state.own().known().size() < 60);
  CHECK(state.own().changes_since(state.own().last())->size() < 200);
}
