#include "runtime/receive.hpp"
#include "runtime/process_info.hpp"
#include "tests/support.hpp"

using namespace roost;
using namespace roost::test;

namespace {

struct header { std::string text; };
struct body { int part; };
struct noise {};

using result = std::shared_ptr<std::promise<std::string>>;

/// Wants a header first, then bodies in the order of their numbers.
struct fetcher {
  result done;
  std::string log = {};
  int part = 1;

  receiving<fetcher> start() {
    return receive(&fetcher::on_header).after(10s, &fetcher::on_silence);
  }
  receiving<fetcher> on_header(header h) {
    log = h.text;
    return next();
  }
  receiving<fetcher> next() {
    return receive_when([want = part](const body& b) { return b.part == want; }, &fetcher::on_body);
  }
  receiving<fetcher> on_body(body b) {
    log += " " + std::to_string(b.part);
    if (++part <= 3) return next();
    done->set_value(log);
    return finished();
  }
  receiving<fetcher> on_silence() {
    done->set_value("silence");
    return finished();
  }
};

struct patient {
  result done;
  receiving<patient> start() { return receive(&patient::on_header).after(20ms, &patient::late); }
  receiving<patient> on_header(header) { return finished(); }
  receiving<patient> late() {
    done->set_value("late");
    return finished();
  }
};

struct mourner {
  result done;
  receiving<mourner> start() {
    monitor(roost::spawn([] {}));
    return receive(&mourner::on_down).on(&mourner::on_header);
  }
  receiving<mourner> on_down(const down& d) {
    done->set_value(d.reason.to_string());
    return finished();
  }
  receiving<mourner> on_header(header) { return finished(); }
};

}  // namespace

TEST_CASE_FIXTURE(node, "a process receives what it wants; the rest waits in order") {
  auto done = std::make_shared<std::promise<std::string>>();
  auto process = spawn_process<fetcher>(done);
  for (int part : {3, 2, 1}) send(process, body{part});
  for (int i = 0; i < 1000; ++i) send(process, noise{});
  REQUIRE(eventually([&] { return process_info(process).get()->message_queue_len == 1003; }));
  send(process, header{"head"});
  CHECK(done->get_future().get() == "head 1 2 3");
  CHECK(eventually([&] { return !is_alive(process); }));
}

TEST_CASE_FIXTURE(node, "after counts from the start of the wait, whatever else arrives") {
  auto done = std::make_shared<std::promise<std::string>>();
  auto process = spawn_process<patient>(done);
  auto answer = done->get_future();
  while (answer.wait_for(1ms) != std::future_status::ready) send(process, noise{});
  CHECK(answer.get() == "late");
}

TEST_CASE_FIXTURE(node, "DOWN is received like any message") {
  auto done = std::make_shared<std::promise<std::string>>();
  spawn_process<mourner>(done);
  auto reason = done->get_future().get();
  CHECK((reason == "normal" || reason == "noproc"));  // it may have gone before it was monitored
}
