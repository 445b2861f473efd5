#include "runtime/process_info.hpp"
#include "runtime/sys.hpp"
#include "supervision/supervisor.hpp"
#include "tests/support.hpp"

using namespace roost;
using namespace roost::test;

namespace {

struct counter {
  struct get { using reply = int; };
  using messages = roost::messages<get>;
  int value = 0;
  int handle_call(get) const { return value; }
};

struct tidy {
  using messages = roost::messages<>;
  std::shared_ptr<std::promise<std::string>> goodbye;
  static init_result<tidy> init(std::shared_ptr<std::promise<std::string>> goodbye) {
    trap_exit(true);
    return tidy{goodbye};
  }
  void terminate(const exit_reason& reason) { goodbye->set_value(reason.to_string()); }
};

}  // namespace

TEST_CASE_FIXTURE(node, "a supervised server starts with all the options that it was given") {
  auto top = start_link(
      {.children = {child<counter>(
           {.name = "watched", .debug = {.log = 3}, .priority = process_priority::low}, 7)}});
  CHECK(call(server<counter>{"watched"}, counter::get{}).get() == 7);
  CHECK(sys::get_log(whereis("watched")).get().size() == 2);
  CHECK(process_info(whereis("watched")).get()->priority == process_priority::low);
  stop(top).get();
}

TEST_CASE_FIXTURE(node, "an operator sees the children of a supervisor, and holds it for a while") {
  log_capture quiet;
  auto top = start_link({.children = {child<counter>({.name = "seven"}, 7)}});
  auto text = "seven " + to_string(whereis("seven"));
  CHECK(sys::get_status(top).get().state.find(text) != std::string::npos);
  sys::suspend(top).get();
  auto before = whereis("seven");
  exit(before, exit_reason::kill);
  CHECK(eventually([&] { return whereis("seven") != before; }));
  CHECK(whereis("seven") == pid{});  // nobody starts it again
  sys::resume(top).get();
  CHECK(eventually([] { return whereis("seven") != pid{}; }));
  stop(top, exit_reason::shutdown).get();
}

TEST_CASE_FIXTURE(node, "a child that is suspended still ends when its supervisor does") {
  auto goodbye = std::make_shared<std::promise<std::string>>();
  auto top = start_link({.children = {child<tidy>({.name = "tidy"}, goodbye)}});
  sys::suspend(whereis("tidy")).get();
  auto word = goodbye->get_future();
  stop(top, exit_reason::shutdown).get();
  REQUIRE(word.wait_for(0s) == std::future_status::ready);  // else it was killed after 5 s
  CHECK(word.get() == "shutdown");
}
