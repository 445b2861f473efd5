#include "supervision/partition_supervisor.hpp"
#include "supervision/dynamic_supervisor.hpp"
#include "tests/supervision/tree.hpp"
#include <set>

using namespace roost;
using namespace roost::test;

namespace {

struct counter {
  struct get { using reply = int; };
  struct bump {};
  struct crash {};
  using messages = roost::messages<get, bump, crash>;
  int value = 0;
  int handle_call(get) const { return value; }
  void handle_cast(bump) { ++value; }
  void handle_cast(crash) { throw std::runtime_error("boom"); }
};

struct parts : tree {
  partition_supervisor counters{"counters"};

  pid open(partition_supervisor::options options) {
    options.name = "counters";
    return partition_supervisor::start_link(std::move(options));
  }
  static pid at(auto key) { return whereis(via_partition("counters", key)); }
};

}  // namespace

TEST_CASE_FIXTURE(
    parts, "there are as many partitions as schedulers, unless another number is given") {
  open({.child = child<counter>(0)});
  CHECK(counters.partitions() == 2);
  CHECK(counters.count_children().get().active == 2);
  CHECK(partition_supervisor("nobody").partitions() == 0);
}

TEST_CASE_FIXTURE(parts, "an integer leads to its remainder, without its sign") {
  auto top = open({.child = child<counter>(0), .partitions = 3});
  for (int key : {0, 1, 2, 3, 4, -1, -2, -3, -4})
    CHECK(at(key) == process(top, std::to_string(std::abs(key) % 3)));
  CHECK(
      at(std::numeric_limits<std::int64_t>::min()) ==
      process(top, std::to_string((1ULL << 63) % 3)));
  CHECK(at(std::uint64_t{18446744073709551615U}) == process(top, "0"));
}

TEST_CASE_FIXTURE(parts, "any other key leads to one partition, and many keys to all of them") {
  open({.child = child<counter>(0), .partitions = 4});
  std::set<pid> met;
  for (int i = 0; i < 200; ++i) {
    auto key = "user " + std::to_string(i);
    CHECK(at(std::string_view(key)) == at(std::string_view(key)));
    met.insert(at(std::string_view(key)));
  }
  CHECK(met.size() == 4);
  cast(server<counter>{via_partition("counters", "ann")}, counter::bump{});
  CHECK(call(server<counter>{via_partition("counters", "ann")}, counter::get{}).get() == 1);
}

TEST_CASE_FIXTURE(parts, "a partition that crashes is found again") {
  open({.child = child<counter>(0), .partitions = 2});
  auto before = at(0);
  cast(server<counter>(before), counter::crash{});
  CHECK(eventually([&] { return at(0) && at(0) != before && is_alive(at(0)); }));
  CHECK(call(server<counter>{via_partition("counters", 0)}, counter::get{}).get() == 0);
}

TEST_CASE_FIXTURE(parts, "each partition may have arguments of its own") {
  open(
      {.with_arguments = [](std::size_t i) { return child<counter>(static_cast<int>(i) * 10); },
       .partitions = 3});
  for (int i = 0; i < 3; ++i)
    CHECK(call(server<counter>{via_partition("counters", i)}, counter::get{}).get() == i * 10);
}

TEST_CASE_FIXTURE(parts, "fewer partitions may be used, and all of them again") {
  auto top = open({.child = child<counter>(0), .partitions = 4});
  CHECK(counters.resize(2).get() == 2);
  CHECK(counters.partitions() == 2);
  CHECK(at(3) == process(top, "1"));
  CHECK(eventually([&] { return counters.count_children().get().active == 2; }));
  CHECK(counters.resize(4).get() == 4);
  CHECK(eventually([&] { return counters.count_children().get().active == 4; }));
  CHECK(at(3) == process(top, "3"));
  CHECK(failure_of([&] {
          (void)counters.resize(5).get();
        }) == "expected 1 to 4 partitions of counters, got 5");
  CHECK(failure_of([&] {
          (void)counters.resize(0).get();
        }) == "expected 1 to 4 partitions of counters, got 0");
}

TEST_CASE_FIXTURE(parts, "a key found before its supervisor, or after it, leads to nobody") {
  server<counter> one{via_partition("counters", 1)};
  CHECK_FALSE(one.process());
  auto top = open({.child = child<counter>(0), .partitions = 2});
  CHECK(one.process() == process(top, "1"));
  exit(top, exit_reason::kill);
  CHECK(eventually([&] { return !one.process(); }));
  CHECK(counters.partitions() == 0);
  auto next = open({.child = child<counter>(5), .partitions = 2});
  CHECK(one.process() == process(next, "1"));
}

TEST_CASE_FIXTURE(parts, "dynamic supervisors in partitions start children side by side") {
  open({.child = child<dynamic_supervisor>({}), .partitions = 3});
  for (int i = 0; i < 9; ++i)
    CHECK(dynamic_supervisor{via_partition("counters", i)}.start_child<counter>(i).get());
  for (int i = 0; i < 3; ++i)
    CHECK(dynamic_supervisor{via_partition("counters", i)}.count_children().get().active == 3);
}

TEST_CASE_FIXTURE(parts, "options that cannot work are refused") {
  CHECK(failure_of([] {
          partition_supervisor::start_link({.child = child<counter>(0)});
        }) == "expected a partition_supervisor's .name to be set, got an empty one");
  CHECK(
      failure_of([&] { open({}); }) ==
      "expected .child or .with_arguments of partition_supervisor counters to be set, got neither");
  CHECK(failure_of([&] {
          open({.child = child<counter>(0), .max_restarts = -1});
        }).starts_with("invalid_intensity"));
  CHECK(failure_of([&] {
          open({.child = child<counter>({.name = "same"}, 0), .partitions = 2});
        }).find("already_started") != std::string::npos);
}
