#include "runtime/blocking.hpp"
#include "tests/support.hpp"

using namespace roost;
using namespace roost::test;

namespace {

struct counter {
  struct get { using reply = int; };
  struct bump { int by = 1; };
  struct crash {};
  struct stop_with {
    using reply = std::string;
    std::string last;
  };
  using messages = roost::messages<get, bump, crash, stop_with>;

  int value = 0;

  int handle_call(get) const { return value; }
  void handle_cast(bump message) { value += message.by; }
  void handle_cast(crash) { throw std::logic_error("told to"); }
  call_result<std::string> handle_call(stop_with s) { return stop(exit_reason::normal, s.last); }
};

struct gate {
  struct wait { using reply = std::string; };
  struct open { std::string word; };
  struct hand_over { using reply = std::string; };
  struct count { using reply = std::size_t; };
  using messages = roost::messages<wait, open, hand_over, count>;

  std::vector<from<std::string>> waiting = {};

  call_result<std::string> handle_call(wait, from<std::string> client) {
    waiting.push_back(client);
    return noreply();
  }
  std::size_t handle_call(count) const { return waiting.size(); }
  call_result<std::string> handle_call(hand_over, from<std::string> client) {
    spawn([client] { client.reply("from elsewhere"); });
    return noreply();
  }
  cast_result handle_cast(const open& message) {
    for (auto& client : waiting) client.reply(message.word);
    return stop(exit_reason::normal);
  }
};

/// Asks another server without blocking.
struct asker {
  struct ask { using reply = int; };
  struct ask_slowly { using reply = std::string; };
  using messages = roost::messages<ask, ask_slowly>;

  server<counter> other;
  server<gate> slow;

  call_result<int> handle_call(ask, from<int> client) {
    call(other, counter::get{}).then([client](int n) { client.reply(n + 1); });
    return noreply();
  }
  call_result<std::string> handle_call(ask_slowly, from<std::string> client) {
    call(slow, gate::wait{}, 20ms)
        .then(
            [client](std::string word) { client.reply(word); },
            [client](const exit_reason& reason) {
              client.reply("no answer: " + reason.to_string());
            });
    return noreply();
  }
};

struct sleeper {
  struct nap { using reply = int; };
  using messages = roost::messages<nap>;
  std::shared_ptr<std::atomic<int>> timeouts;
  call_result<int> handle_call(nap) { return reply(1, 10ms); }
  cast_result handle_info(roost::timeout) {
    timeouts->fetch_add(1);
    return noreply();
  }
};

struct picky {
  using messages = roost::messages<>;
  int n;
  static init_result<picky> init(int n) {
    if (n == 0) return ignore();
    if (n < 0) return stop("negative");
    if (n > 100) throw std::out_of_range("too many");
    return picky{n};
  }
};

struct late_starter {
  struct get { using reply = std::string; };
  using messages = roost::messages<get>;
  std::string text;
  static init_result<late_starter> init(bool good, init_ref<late_starter> ref) {
    blocking([] { return std::string("loaded"); }).then([ref, good](std::string text) {
      if (good)
        ref.finish(late_starter{text});
      else
        ref.stop("nothing to load");
    });
    return later(ref);
  }
  std::string handle_call(get) const { return text; }
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

TEST_CASE_FIXTURE(node, "a server answers calls and takes casts in order") {
  auto c = roost::start_link<counter>({.name = "counter"}, 10);
  cast(c, counter::bump{.by = 5});
  CHECK(call(c, counter::get{}).get() == 15);
  for (int i = 0; i < 1000; ++i) cast(server<counter>{"counter"}, counter::bump{});
  CHECK(call(c, counter::get{}).get() == 1015);
}

TEST_CASE_FIXTURE(node, "a reply may come later, and from another process") {
  auto g = roost::start<gate>();
  auto answer = std::async(std::launch::async, [&] { return call(g, gate::wait{}).get(); });
  CHECK(call(g, gate::hand_over{}).get() == "from elsewhere");
  REQUIRE(eventually([&] { return call(g, gate::count{}).get() == 1; }));
  cast(g, gate::open{"hello"});
  CHECK(answer.get() == "hello");
}

TEST_CASE_FIXTURE(node, "a server asks another one without blocking, then answers") {
  auto c = roost::start<counter>(41);
  auto a = roost::start<asker>(c, server<gate>{});
  CHECK(call(a, asker::ask{}).get() == 42);
}

TEST_CASE_FIXTURE(node, "a call times out after its time; the late reply is dropped") {
  auto g = roost::start<gate>();
  auto a = roost::start<asker>(server<counter>{}, g);
  CHECK(call(a, asker::ask_slowly{}).get() == "no answer: timeout");
  cast(g, gate::open{"too late"});
  CHECK(eventually([&] { return !is_alive(g.process()); }));
  CHECK(is_alive(a.process()));
  CHECK_THROWS_WITH_AS(
      call(roost::start<gate>(), gate::wait{}, 10ms).get(),
      doctest::Contains("unknown whether it was handled"), process_exit);
}

TEST_CASE_FIXTURE(node, "the caller learns at once when the server is not there, or dies") {
  log_capture quiet;
  CHECK_THROWS_WITH_AS(
      call(server<counter>{"nobody"}, counter::get{}).get(), doctest::Contains("noproc"),
      process_exit);
  auto g = roost::start<gate>();
  auto answer =
      std::async(std::launch::async, [&] { return call(g, gate::wait{}, infinity).get(); });
  REQUIRE(eventually([&] { return call(g, gate::count{}).get() == 1; }));
  exit(g.process(), exit_reason::kill);
  CHECK_THROWS_WITH_AS(answer.get(), doctest::Contains("killed"), process_exit);

  auto c = roost::start<counter>(0);
  cast(c, counter::crash{});
  CHECK_THROWS_WITH_AS(call(c, counter::get{}).get(), doctest::Contains("got "), process_exit);
}

TEST_CASE_FIXTURE(node, "an unanswered call crashes the process that made it") {
  log_capture quiet;
  auto caller = spawn([] { call(server<counter>{"nobody"}, counter::get{}).then([](int) {}); });
  CHECK(eventually([&] { return !is_alive(caller); }));
  CHECK(eventually([&] { return quiet.saw("crash_report", "noproc"); }));
}

TEST_CASE_FIXTURE(node, "stop with a reply answers first and ends then") {
  auto c = roost::start<counter>(0);
  CHECK(call(c, counter::stop_with{"bye"}).get() == "bye");
  CHECK(eventually([&] { return !is_alive(c.process()); }));
}

TEST_CASE_FIXTURE(node, "a throwing handler crashes its process alone, with a report") {
  log_capture log;
  auto bad = roost::start<counter>(0);
  auto good = roost::start<counter>(7);
  cast(bad, counter::crash{});
  CHECK(eventually([&] { return !is_alive(bad.process()); }));
  CHECK(call(good, counter::get{}).get() == 7);
  CHECK(eventually([&] { return log.saw("crash_report", "told to"); }));
  CHECK(log.saw("crash_report", "crash"));
}

TEST_CASE_FIXTURE(node, "a returned timeout fires once, unless a message comes first") {
  auto timeouts = std::make_shared<std::atomic<int>>(0);
  auto s = roost::start<sleeper>(timeouts);
  call(s, sleeper::nap{}).get();
  CHECK(eventually([&] { return timeouts->load() == 1; }));
  for (int i = 0; i < 50; ++i) call(s, sleeper::nap{}).get();
  CHECK(eventually([&] { return timeouts->load() == 2; }));
}

TEST_CASE_FIXTURE(node, "init may ignore, stop or throw") {
  log_capture quiet;
  CHECK(roost::start<picky>(5));
  CHECK_FALSE(roost::start<picky>(0));
  CHECK_THROWS_WITH_AS(roost::start<picky>(-1), doctest::Contains("negative"), start_error);
  CHECK_THROWS_WITH_AS(roost::start<picky>(101), doctest::Contains("too many"), start_error);
  in_process([] {
    CHECK_THROWS_AS(roost::start_link<picky>(-1), start_error);  // and we live on
  });
}

TEST_CASE_FIXTURE(node, "init may finish later; messages wait for it") {
  log_capture quiet;
  auto s = roost::start<late_starter>(true);
  CHECK(call(s, late_starter::get{}).get() == "loaded");
  CHECK_THROWS_WITH_AS(
      roost::start<late_starter>(false), doctest::Contains("nothing to load"), start_error);
}

TEST_CASE_FIXTURE(node, "terminate runs for a trapped exit of the parent, with its reason") {
  log_capture quiet;
  auto goodbye = std::make_shared<std::promise<std::string>>();
  spawn([goodbye] {
    roost::start_link<tidy>(goodbye);
    exit("no longer needed");
  });
  CHECK(goodbye->get_future().get() == "no longer needed");
}

TEST_CASE_FIXTURE(node, "get() in a process and then() outside say what to use instead") {
  auto c = roost::start<counter>(1);
  in_process([c] {
    CHECK_THROWS_WITH_AS(
        call(c, counter::get{}).get(), doctest::Contains("use .then"), std::logic_error);
  });
  CHECK_THROWS_WITH_AS(
      call(c, counter::get{}).then([](int) {}), doctest::Contains("use .get"), std::logic_error);
}

TEST_CASE_FIXTURE(node, "unknown messages: info is logged, the server lives") {
  log_capture log;
  auto c = roost::start<counter>(3);
  send(c.process(), std::string("what is this"));
  CHECK(call(c, counter::get{}).get() == 3);
  CHECK(eventually([&] { return log.saw("", "what is this"); }));
}
