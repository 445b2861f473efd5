#include "runtime/multi_call.hpp"
#include "tests/support.hpp"

using namespace roost;
using namespace roost::test;

namespace {

struct shelf {
  struct count { using reply = int; };
  struct clear { using reply = void; };
  struct put { int books = 1; };
  struct burn { using reply = int; };
  struct think { using reply = int; };
  using messages = roost::messages<count, clear, put, burn, think>;

  int books = 0;

  int handle_call(count) const { return books; }
  void handle_call(clear) { books = 0; }
  void handle_cast(put message) { books += message.books; }
  int handle_call(burn) { throw std::runtime_error("fire"); }
  call_result<int> handle_call(think, from<int>) { return noreply(); }
};

using nodes_t = std::vector<std::string>;

}  // namespace

TEST_CASE_FIXTURE(node, "multi_call: this node answers, a node that is not there is a bad one") {
  auto s = start<shelf>({.name = "shelf"}, 3);
  auto all = multi_call({"far@away", node_name()}, "shelf", shelf::count{}).get();
  REQUIRE(all.replies.size() == 1);
  CHECK(all.replies[0].first == node_name());
  CHECK(all.replies[0].second == 3);
  CHECK(all.bad_nodes == nodes_t{"far@away"});
}

TEST_CASE_FIXTURE(
    node, "multi_call: a node where nobody has the name is a bad one, and so is a crash") {
  log_capture quiet;
  auto s = start<shelf>({.name = "shelf"}, 3);
  CHECK(
      multi_call({node_name()}, "nobody", shelf::count{}).get().bad_nodes == nodes_t{node_name()});
  CHECK(multi_call({node_name()}, "shelf", shelf::burn{}).get().bad_nodes == nodes_t{node_name()});
  CHECK(eventually([&] { return !is_alive(s.process()); }));
}

TEST_CASE_FIXTURE(node, "multi_call: who does not answer in time is a bad node") {
  auto s = start<shelf>({.name = "shelf"}, 3);
  auto all = multi_call({node_name()}, "shelf", shelf::think{}, 20ms).get();
  CHECK(all.replies.empty());
  CHECK(all.bad_nodes == nodes_t{node_name()});
}

TEST_CASE_FIXTURE(node, "multi_call in a process does not block it, and no nodes answer at once") {
  auto s = start<shelf>({.name = "shelf"}, 3);
  auto result = std::make_shared<std::promise<std::string>>();
  spawn([result] {
    auto story = std::make_shared<std::string>();
    multi_call<shelf>("shelf", shelf::count{}).then([=](multi_replies<int> all) {
      *story += std::to_string(all.replies.at(0).second);
      result->set_value(*story);
    });
    multi_call(nodes_t{}, "shelf", shelf::count{}).then([=](multi_replies<int> all) {
      *story += "none" + std::to_string(all.replies.size() + all.bad_nodes.size()) + " ";
    });
    *story += "first ";
  });
  CHECK(result->get_future().get() == "none0 first 3");
}

TEST_CASE_FIXTURE(
    node, "multi_call: a call without a value answers too, and get() is for threads") {
  auto s = start<shelf>({.name = "shelf"}, 3);
  CHECK(multi_call<shelf>("shelf", shelf::clear{}).get().replies.size() == 1);
  CHECK(call(s, shelf::count{}).get() == 0);
  CHECK_THROWS_AS(in_process([] { multi_call("shelf", shelf::count{}).get(); }), std::logic_error);
}

TEST_CASE_FIXTURE(
    node, "abcast reaches the name on this node and forgives the nodes that are not there") {
  auto s = start<shelf>({.name = "shelf"}, 0);
  abcast({node_name(), "far@away"}, "shelf", shelf::put{2});
  abcast<shelf>("shelf", shelf::put{3});
  abcast({node_name()}, "nobody", shelf::put{4});
  CHECK(call(s, shelf::count{}).get() == 5);
}
