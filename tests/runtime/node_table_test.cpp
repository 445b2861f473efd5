#include "runtime/node_table.hpp"
#include "tests/support.hpp"

using namespace roost;
using namespace roost::detail;
using namespace roost::test;

namespace {

struct named {
  named() { name_this_node("me@here"); }
  ~named() { name_this_node(""); }
};

}  // namespace

TEST_CASE("a node has no name until it is given one, and an incarnation with it") {
  CHECK(this_node().name == "nonode@nohost");
  CHECK(this_node().incarnation == 0);
  CHECK(node_name() == "nonode@nohost");
  name_this_node("me@here");
  CHECK(node_name() == "me@here");
  auto first = this_node().incarnation;
  CHECK(first != 0);
  name_this_node("me@here");
  CHECK(this_node().incarnation > first);
  // What was known of the earlier one is another node now.
  CHECK(node_number("me@here", first) != 0);
  CHECK(node_number("me@here", this_node().incarnation) == 0);
  CHECK(node_number("me@here", 0) == 0);
  name_this_node("");
  CHECK(node_name() == "nonode@nohost");
  CHECK_THROWS_AS(name_this_node("me"), std::invalid_argument);
}

TEST_CASE("the name of a node is name@host") {
  for (auto good : {"a@b", "chat@10.0.0.7", "a-b_c@host.example.org"}) CHECK(is_node_name(good));
  for (auto bad : {"", "@", "a", "a@", "@b", "a@b@c", "a b@c", "a@b\n", "a@b\x7f", "a@b\xc3"})
    CHECK_FALSE(is_node_name(bad));
  CHECK(is_node_name("a@" + std::string(253, 'b')));
  CHECK_FALSE(is_node_name("a@" + std::string(254, 'b')));
}

TEST_CASE_FIXTURE(named, "every incarnation of a node has a number for ever") {
  auto first = node_number("other@there", 1);
  auto second = node_number("other@there", 2);
  CHECK(first != 0);
  CHECK(first != second);
  CHECK(node_number("other@there", 1) == first);
  CHECK(node_of_number(second).name == "other@there");
  CHECK(node_of_number(second).incarnation == 2);
  CHECK(node_of_number(0).name == "me@here");
  CHECK(node_of_number(0x7FFFFFFF).name.empty());
  CHECK(node_of_number(caf_node).name.empty());
}

TEST_CASE_FIXTURE(named, "a pid prints with its node") {
  auto other = node_number("chat@10.0.0.7", 5);
  std::uint64_t id = 3ULL << 28 | 42;
  CHECK(to_string(pid{id, 0}) == "<0.42.3>");
  CHECK(to_string(pid{id, other}) == "<chat@10.0.0.7:42.3>");
  CHECK(to_string(name_on("rooms", "chat@10.0.0.7")) == "{rooms, chat@10.0.0.7}");
  CHECK(to_string(pid{7, caf_node}) == "<caf.7>");
  CHECK(node_of(pid{id, other}) == "chat@10.0.0.7");
  CHECK(node_of(pid{id, 0}) == "me@here");
  CHECK(node_of(name_on("rooms", "chat@10.0.0.7")) == "chat@10.0.0.7");
}

TEST_CASE_FIXTURE(named, "a name on another node is a pid, one on this node is its owner") {
  auto rooms = name_on("rooms", "b@there");
  CHECK(rooms.is_name());
  CHECK_FALSE(rooms.is_local());
  CHECK(name_of(rooms) == "rooms");
  CHECK(rooms == name_on("rooms", "b@there"));
  CHECK(rooms != name_on("rooms", "c@there"));
  CHECK(rooms != name_on("hall", "b@there"));
  CHECK(rooms == whereis_on("b@there", "rooms"));
  CHECK_FALSE(is_alive(rooms));

  CHECK_FALSE(name_on("rooms", "me@here"));
  node node;
  std::promise<void> done;
  auto owner = roost::spawn([until = done.get_future().share()] { until.wait(); });
  register_name("rooms", owner);
  CHECK(name_on("rooms", "me@here") == owner);
  CHECK(whereis_on("me@here", "rooms") == owner);
  done.set_value();

  CHECK_THROWS_AS(name_on("", "b@there"), std::invalid_argument);
  CHECK_THROWS_AS(name_on(std::string(256, 'x'), "b@there"), std::invalid_argument);
  CHECK_THROWS_AS(name_on("rooms", "there"), std::invalid_argument);
  CHECK_FALSE(whereis_on("there", "rooms"));
  CHECK_FALSE(whereis_on("b@there", std::string(256, 'x')));
  CHECK(name_of(pid{~std::uint64_t{0}, 1}).empty());  // a name that nobody gave
  CHECK(name_of(pid{5, 1}).empty());
}

TEST_CASE_FIXTURE(named, "references of other nodes keep their node and count") {
  auto other = node_number("refs@there", 1);
  auto ref = foreign_reference(other, 12'345);
  CHECK(reference_node(ref) == other);
  CHECK(count_of(ref) == 12'345);
  CHECK(ref == foreign_reference(other, 12'345));
  CHECK(ref != foreign_reference(node_number("refs@there", 2), 12'345));
  CHECK(reference_node(make_ref()) == 0);
  CHECK(foreign_reference(0, 5) == reference{5});
}

TEST_CASE_FIXTURE(named, "the node that is unused for longest loses its number in references") {
  auto forgotten = node_number("forgotten@there", 1);
  auto busy = node_number("busy@there", 1);
  auto old_ref = foreign_reference(forgotten, 1);
  auto busy_ref = foreign_reference(busy, 1);
  for (std::uint64_t i = 1; i <= 65'600; ++i) {
    foreign_reference(node_number("many@there", i), 1);
    if (i % 1000 == 0) CHECK(foreign_reference(busy, 1) == busy_ref);
  }
  CHECK(reference_node(busy_ref) == busy);
  CHECK(reference_node(old_ref) != forgotten);
  auto again = foreign_reference(forgotten, 1);
  CHECK(reference_node(again) == forgotten);
}

TEST_CASE_FIXTURE(named, "threads agree on the numbers of nodes and names") {
  std::vector<std::vector<std::uint64_t>> seen(4);
  std::vector<std::thread> threads;
  for (auto& mine : seen)
    threads.emplace_back([&mine] {
      for (int i = 0; i < 3000; ++i) {
        auto name = "n" + std::to_string(i);
        auto number = node_number(name + "@threads", 1);
        auto named = named_pid(name, number);
        if (node_of_number(number).name != name + "@threads" || name_of(named) != name) return;
        mine.push_back(named.id ^ std::uint64_t{number} << 32);
        mine.push_back(foreign_reference(number, 7).value);
      }
    });
  for (auto& thread : threads) thread.join();
  CHECK(seen[0].size() == 6000);
  for (auto& other : seen) CHECK(other == seen[0]);
}
