#include "runtime/gen_event.hpp"
#include "runtime/process_info.hpp"
#include "runtime/sys.hpp"
#include "tests/support.hpp"

using namespace roost;
using namespace roost::test;

namespace {

using lines = std::vector<std::string>;

/// What handlers write down, for the test to read.
struct notebook {
  void add(std::string line) {
    std::lock_guard guard{mutex};
    written.push_back(std::move(line));
  }
  lines read() const {
    std::lock_guard guard{mutex};
    return written;
  }
  mutable std::mutex mutex;
  lines written;
};
using shared_notebook = std::shared_ptr<notebook>;

struct placed { int id; };
struct paid { int id; };
struct burnt {};
using orders = gen_event<placed, paid, burnt>;

struct writer {
  struct count { using reply = int; };
  struct leave { using reply = std::string; };
  struct fail { using reply = int; };
  struct clear { using reply = void; };
  using messages = roost::messages<count, leave, fail, clear>;
  using infos = roost::messages<std::string>;

  shared_notebook book;
  std::string name = "w";
  int events = 0;

  void handle_event(const placed& e) {
    ++events;
    book->add(name + " placed " + std::to_string(e.id));
  }
  handler_reply<> handle_event(const paid& e) {
    ++events;
    book->add(name + " paid " + std::to_string(e.id));
    if (e.id == 0) return remove_handler();
    return noreply();
  }
  void handle_event(const burnt&) { throw std::runtime_error("fire"); }
  int handle_call(count) const { return events; }
  handler_reply<std::string> handle_call(leave) { return remove_handler(std::string("bye")); }
  int handle_call(fail) { throw std::logic_error("cannot"); }
  void handle_call(clear) { events = 0; }
  void handle_info(const std::string& text) { book->add(name + " told " + text); }
  void terminate(const exit_reason& reason) { book->add(name + " ends " + reason.to_string()); }
  std::string format_status() const { return "writer " + name; }
};

/// Takes only one of the events, and hands over what it has counted.
struct tally {
  struct total { using reply = int; };
  using messages = roost::messages<total>;
  int sum = 0;
  void handle_event(const paid& e) { sum += e.id; }
  int handle_call(total) const { return sum; }
  int terminate(const exit_reason&) { return sum; }
};

struct better_tally {
  struct total { using reply = int; };
  using messages = roost::messages<total>;
  int sum = 0;
  static better_tally init(std::optional<int> before, int more) {
    return {before.value_or(-1) + more};
  }
  void handle_event(const paid& e) { sum += 10 * e.id; }
  int handle_call(total) const { return sum; }
};

struct picky {
  static picky init(int n) {
    if (n < 0) throw std::invalid_argument("negative");
    return {};
  }
  void handle_event(const paid&) {}
};

struct caterpillar {
  void handle_event(const placed&) {}
  handler_reply<> handle_event(const paid& e) { return swap_to<orders, tally>(e.id * 100); }
};

/// Adds a supervised handler and tells what it hears of it.
struct owner {
  using messages = roost::messages<>;
  using infos = roost::messages<gen_event_exit>;
  shared_notebook book;
  static init_result<owner> init(server<orders> manager, shared_notebook book) {
    add_sup_handler<writer>(manager, book, std::string("sup")).then([book] { book->add("added"); });
    return owner{book};
  }
  void handle_info(const gen_event_exit& e) {
    book->add(
        "owner hears " + e.handler.type.substr(e.handler.type.rfind(':') + 1) + " " +
        e.reason.to_string());
  }
};

lines handlers_of(const server<orders>& manager) {
  lines list;
  for (auto& each : which_handlers(manager).get()) {
    auto name = each.type.substr(each.type.rfind(':') + 1);
    list.push_back(each.id.empty() ? name : name + "/" + each.id);
  }
  return list;
}

bool has(const lines& all, std::string_view line) {
  return std::find(all.begin(), all.end(), line) != all.end();
}

}  // namespace

TEST_CASE_FIXTURE(
    node, "gen_event: every handler sees every event that it has a function for, in order") {
  auto manager = start<orders>({.name = "orders"});
  auto book = std::make_shared<notebook>();
  add_handler<writer>(manager, book).get();
  add_handler<tally>(manager).get();
  notify(manager, placed{1});
  notify(manager, paid{2});
  sync_notify(server<orders>{"orders"}, paid{3}).get();
  CHECK(book->read() == lines{"w placed 1", "w paid 2", "w paid 3"});
  CHECK(call<tally>(manager, tally::total{}).get() == 5);
  CHECK(call<writer>(manager, writer::count{}).get() == 3);
  call<writer>(manager, writer::clear{}).get();
  CHECK(call<writer>(manager, writer::count{}).get() == 0);
}

TEST_CASE_FIXTURE(
    node, "gen_event: the handler that was added last comes first; ids tell equal ones apart") {
  auto manager = start<orders>();
  auto book = std::make_shared<notebook>();
  add_handler<writer>(manager, handler_id{"a"}, book, std::string("a")).get();
  add_handler<writer>(manager, handler_id{"b"}, book, std::string("b")).get();
  add_handler<tally>(manager).get();
  CHECK(handlers_of(manager) == lines{"tally", "writer/b", "writer/a"});
  CHECK_THROWS_WITH_AS(
      add_handler<tally>(manager).get(), doctest::Contains("already_present"), process_exit);
  sync_notify(manager, placed{1}).get();
  CHECK(book->read() == lines{"b placed 1", "a placed 1"});
  CHECK(call<writer>(manager, handler_id{"b"}, writer::leave{}).get() == "bye");
  CHECK(handlers_of(manager) == lines{"tally", "writer/a"});
  CHECK(has(book->read(), "b ends normal"));
  CHECK(sys::get_state_text(manager.process()).get() == "[tally{sum: 0}, writer a]");
}

TEST_CASE_FIXTURE(
    node, "gen_event: a handler that throws is removed and reported, the others go on") {
  log_capture quiet;
  auto manager = start<orders>();
  auto book = std::make_shared<notebook>();
  add_handler<tally>(manager).get();
  add_handler<writer>(manager, book).get();
  sync_notify(manager, burnt{}).get();
  CHECK(handlers_of(manager) == lines{"tally"});
  CHECK(book->read().at(0).find("fire") != std::string::npos);
  CHECK(quiet.saw("handler_report", "fire"));
  CHECK(quiet.saw("handler_report", "last_message=burnt{}"));
  add_handler<writer>(manager, book).get();
  CHECK_THROWS_WITH_AS(
      call<writer>(manager, writer::fail{}).get(), doctest::Contains("cannot"), process_exit);
  CHECK_THROWS_WITH_AS(
      call<writer>(manager, writer::count{}).get(), doctest::Contains("bad_module"), process_exit);
  CHECK(is_alive(manager.process()));
}

TEST_CASE_FIXTURE(
    node, "gen_event: a handler whose init throws is not added, and who adds it learns why") {
  auto manager = start<orders>();
  CHECK_THROWS_WITH_AS(
      add_handler<picky>(manager, -1).get(), doctest::Contains("negative"), process_exit);
  CHECK(handlers_of(manager).empty());
  add_handler<picky>(manager, 1).get();
  CHECK(handlers_of(manager) == lines{"picky"});
}

TEST_CASE_FIXTURE(node, "gen_event: who deletes a handler gets its last word") {
  auto manager = start<orders>();
  auto book = std::make_shared<notebook>();
  add_handler<tally>(manager, 7).get();
  add_handler<writer>(manager, book).get();
  CHECK(delete_handler<tally>(manager).get() == 7);
  CHECK(delete_handler<tally>(manager).get() == std::nullopt);
  CHECK(delete_handler<writer>(manager, {}, "enough").get());
  CHECK_FALSE(delete_handler<writer>(manager).get());
  CHECK(book->read() == lines{"w ends enough"});
}

TEST_CASE_FIXTURE(
    node, "gen_event: a handler goes by its own decision, or leaves its place to another") {
  auto manager = start<orders>();
  auto book = std::make_shared<notebook>();
  add_handler<caterpillar>(manager).get();
  add_handler<writer>(manager, book).get();
  sync_notify(manager, paid{0}).get();
  CHECK(handlers_of(manager) == lines{"tally"});
  sync_notify(manager, paid{4}).get();
  CHECK(call<tally>(manager, tally::total{}).get() == 4);
  CHECK(book->read() == lines{"w paid 0", "w ends normal"});
}

TEST_CASE_FIXTURE(node, "gen_event: swap_handler hands the old one's last word to the new one") {
  auto manager = start<orders>();
  add_handler<tally>(manager, 5).get();
  swap_handler<tally, better_tally>(manager, 2).get();
  CHECK(handlers_of(manager) == lines{"better_tally"});
  CHECK(call<better_tally>(manager, better_tally::total{}).get() == 7);
  swap_handler<better_tally, picky>(manager, 1).get();
  swap_handler<tally, better_tally>(manager, 2).get();  // there is no tally to replace
  CHECK(call<better_tally>(manager, better_tally::total{}).get() == 1);
}

TEST_CASE_FIXTURE(node, "gen_event: other messages go to the handlers that list them") {
  log_capture quiet;
  auto manager = start<orders>();
  auto book = std::make_shared<notebook>();
  add_handler<writer>(manager, book).get();
  send(manager.process(), std::string("hello"));
  send(manager.process(), 42);
  sync_notify(manager, placed{1}).get();
  CHECK(book->read() == lines{"w told hello", "w placed 1"});
  CHECK(quiet.saw("", "unexpected message dropped"));
}

TEST_CASE_FIXTURE(node, "gen_event: who has added a supervised handler hears how it ends") {
  log_capture quiet;
  auto manager = start<orders>();
  auto book = std::make_shared<notebook>();
  auto o = start<owner>(manager, book);
  CHECK(eventually([&] { return has(book->read(), "added"); }));
  SUBCASE("deleted") {
    CHECK(delete_handler<writer>(manager).get());
    CHECK(eventually([&] { return has(book->read(), "owner hears writer normal"); }));
    exit(manager.process(), exit_reason::kill);  // no link is left to hurt the owner
    CHECK(eventually([&] { return !is_alive(manager.process()); }));
    CHECK(process_info(o.process()).get().has_value());
  }
  SUBCASE("crashed") {
    notify(manager, burnt{});
    CHECK(eventually([&] {
      for (auto& line : book->read())
        if (line.starts_with("owner hears writer {error") && line.find("fire") != line.npos)
          return true;
      return false;
    }));
  }
  SUBCASE("swapped") {
    swap_handler<writer, tally>(manager, 0).get();
    CHECK(eventually([&] {
      for (auto& line : book->read())
        if (line.starts_with("owner hears writer {swapped, ")) return true;
      return false;
    }));
  }
  SUBCASE("with its manager") {
    stop(manager).get();
    CHECK(eventually([&] { return has(book->read(), "owner hears writer shutdown"); }));
  }
}

TEST_CASE_FIXTURE(node, "gen_event: a supervised handler ends with the process that has added it") {
  auto manager = start<orders>();
  auto book = std::make_shared<notebook>();
  auto o = start<owner>(manager, book);
  CHECK(eventually([&] { return has(book->read(), "added"); }));
  exit(o.process(), "gone");
  CHECK(eventually([&] { return has(book->read(), "sup ends gone"); }));
  CHECK(handlers_of(manager).empty());
  CHECK_THROWS_AS(add_sup_handler<writer>(manager, book).get(), std::logic_error);
}

TEST_CASE_FIXTURE(
    node, "gen_event: a manager that is stopped or loses its parent ends its handlers") {
  log_capture quiet;
  auto book = std::make_shared<notebook>();
  auto manager = start<orders>();
  add_handler<writer>(manager, book).get();
  stop(manager, exit_reason::shutdown).get();
  CHECK(book->read() == lines{"w ends shutdown"});
  auto child = std::make_shared<std::promise<pid>>();
  auto parent = spawn([child] {
    auto m = start_link<orders>();
    child->set_value(m.process());
    call<writer>(m, writer::count{}, infinity)
        .then([](int) {}, [](const exit_reason&) { roost::exit("parent is done"); });
  });
  auto orphan = child->get_future().get();
  CHECK(eventually([&] { return !is_alive(parent) && !is_alive(orphan); }));
}
