#include "runtime/ets.hpp"
#include "tests/support.hpp"
#include <algorithm>
#include <map>
#include <random>
#include <set>

using namespace roost;
using namespace roost::test;

namespace {

struct user {
  int id = 0;
  std::string name = {};
  int visits = 0;
  bool operator==(const user&) const = default;
};
using user_set = ets::set<user, &user::id>;
using user_list = ets::ordered_set<user, &user::id>;

struct visit {
  std::string who;
  int day = 0;
  bool operator==(const visit&) const = default;
};
using visit_bag = ets::bag<visit, &visit::who>;
using visit_log = ets::duplicate_bag<visit, &visit::who>;

struct page_view {
  std::string path;
  std::uint8_t count = 0;
};
using page_views = ets::ordered_set<page_view, &page_view::path>;

/// A process that does what it is told, and keeps what it is given.
struct helper {
  struct run {
    using reply = std::string;
    std::function<std::string()> what;
  };
  struct inherited { using reply = std::vector<std::string>; };
  struct crash {};
  using messages = roost::messages<run, inherited, crash>;
  using infos = roost::messages<ets::transfer>;

  std::vector<std::string> transfers = {};
  ets::any_table last = {};

  std::string handle_call(const run& message) {
    try {
      return message.what();
    } catch (const std::exception& error) {
      return error.what();
    }
  }
  std::vector<std::string> handle_call(inherited) const { return transfers; }
  void handle_cast(crash) { throw std::runtime_error("told to"); }
  void handle_info(ets::transfer transfer) {
    transfers.push_back(
        transfer.table.name() + " from " + to_string(transfer.from) + ", " +
        std::any_cast<std::string>(transfer.data));
    last = transfer.table;
  }
};

/// Runs the function in that process; answers its result, or what it threw.
template <class F>
std::string in(const server<helper>& process, F function) {
  return call(process, helper::run{function}).get();
}

void end(const server<helper>& process) {
  exit(process.process(), exit_reason::kill);
  REQUIRE(eventually([&] { return !is_alive(process.process()); }));
}

/// Ends a process and says so when it hears of it.
struct watcher {
  using messages = roost::messages<>;
  std::shared_ptr<std::promise<void>> ended;
  static init_result<watcher> init(
      server<helper> victim, std::shared_ptr<std::promise<void>> ended) {
    monitor(victim.process());
    exit(victim.process(), exit_reason::kill);
    return watcher{ended};
  }
  cast_result handle_info(const down&) {
    ended->set_value();
    return stop(exit_reason::normal);
  }
};

/// Many keys with few hashes, so that they get in each other's way.
struct clumsy_key {
  int number = 0;
  bool operator==(const clumsy_key&) const = default;
};
struct clumsy_row {
  clumsy_key key;
  int value = 0;
  bool operator==(const clumsy_row&) const = default;
};

const ets::options for_all{.access = ets::public_};

}  // namespace

template <>
struct std::hash<clumsy_key> {
  std::size_t operator()(clumsy_key key) const noexcept {
    return static_cast<std::size_t>(key.number % 7);
  }
};

TEST_SUITE("ets") {
  // --- one thread
  // ----------------------------------------------------------------------------------

  TEST_CASE("a set has one row for each key: insert replaces it, insert_new does not") {
    user_set users{for_all};
    users.insert({1, "Ada"});
    users.insert({2, "Bob"});
    users.insert({1, "Ada Lovelace"});
    CHECK_FALSE(users.insert_new({2, "Bert"}));
    CHECK(users.insert_new({3, "Cleo"}));
    CHECK(users.size() == 3);
    CHECK(users.lookup(1)->name == "Ada Lovelace");
    CHECK(users.lookup(2)->name == "Bob");
    CHECK(users.member(3));
    CHECK_FALSE(users.lookup(4));
  }

  TEST_CASE("take answers what it deletes, erase whether there was something") {
    user_set users{for_all};
    users.insert({1, "Ada"});
    users.insert({2, "Bob"});
    CHECK(users.take(1)->name == "Ada");
    CHECK_FALSE(users.take(1));
    CHECK(users.erase(2));
    CHECK_FALSE(users.erase(2));
    CHECK(users.size() == 0);
    users.insert({1, "Ada"});
    CHECK_FALSE(users.erase_object({1, "Bob"}));
    CHECK(users.erase_object({1, "Ada"}));
    CHECK_FALSE(users.member(1));
  }

  TEST_CASE("an ordered_set is walked in order, also from keys that are not there") {
    page_views views{for_all};
    CHECK_FALSE(views.first());
    CHECK_FALSE(views.last());
    for (auto path : {"/d", "/b", "/a", "/c"}) views.insert({path});
    CHECK(views.first() == "/a");
    CHECK(views.next("/a") == "/b");
    CHECK(views.next("/bb") == "/c");
    CHECK(views.prev("/bb") == "/b");
    CHECK(views.next("/") == "/a");
    CHECK_FALSE(views.next("/d"));
    CHECK_FALSE(views.prev("/a"));
    CHECK(views.last() == "/d");
    views.erase("/b");
    CHECK(views.next("/a") == "/c");
    auto rows = views.tab2list();
    REQUIRE(rows.size() == 3);
    CHECK(rows[0].path + rows[1].path + rows[2].path == "/a/c/d");
  }

  TEST_CASE("a bag has different rows for a key, a duplicate_bag also equal ones, oldest first") {
    visit_bag visits{for_all};
    visit_log log{for_all};
    for (int day : {3, 1, 3, 2}) {
      visits.insert({"Ada", day});
      log.insert({"Ada", day});
    }
    visits.insert({"Bob", 1});
    CHECK(visits.lookup("Ada") == std::vector<visit>{{"Ada", 3}, {"Ada", 1}, {"Ada", 2}});
    CHECK(log.lookup("Ada") == std::vector<visit>{{"Ada", 3}, {"Ada", 1}, {"Ada", 3}, {"Ada", 2}});
    CHECK(visits.size() == 4);
    CHECK(visits.lookup("Cleo").empty());
    CHECK_FALSE(visits.insert_new({"Bob", 9}));

    CHECK(visits.erase_object({"Ada", 1}));
    CHECK(log.erase_object({"Ada", 3}));
    CHECK(visits.lookup("Ada") == std::vector<visit>{{"Ada", 3}, {"Ada", 2}});
    CHECK(log.lookup("Ada") == std::vector<visit>{{"Ada", 1}, {"Ada", 2}});
    CHECK(log.size() == 2);
    CHECK(visits.take("Ada").size() == 2);
    CHECK(visits.size() == 1);
    CHECK(log.select_delete([](const visit& v) { return v.day == 2; }) == 1);
    CHECK(log.tab2list() == std::vector<visit>{{"Ada", 1}});
  }

  TEST_CASE("update_counter adds, wraps at a threshold, and can begin with a row") {
    user_set users{for_all};
    users.insert({1, "Ada"});
    CHECK(users.update_counter(1, &user::visits) == 1);
    CHECK(users.update_counter(1, &user::visits, 10) == 11);
    CHECK(users.update_counter(1, &user::visits, -3) == 8);
    CHECK(users.lookup(1)->visits == 8);
    CHECK(users.lookup(1)->name == "Ada");

    CHECK(users.update_counter(1, &user::visits, {.by = 1, .threshold = 9, .set_to = 0}) == 9);
    CHECK(users.update_counter(1, &user::visits, {.by = 1, .threshold = 9, .set_to = 0}) == 0);
    CHECK(users.update_counter(1, &user::visits, {.by = -1, .threshold = 0, .set_to = 5}) == 5);

    CHECK_THROWS_WITH_AS(
        users.update_counter(2, &user::visits), doctest::Contains("got none"),
        std::invalid_argument);
    CHECK(users.update_counter(2, &user::visits, 1, {.name = "Bob", .visits = 6}) == 7);
    CHECK(users.update_counter(2, &user::visits, 1, {.name = "Bob", .visits = 6}) == 8);
    CHECK(users.lookup(2) == user{2, "Bob", 8});

    page_views views{for_all};
    CHECK(views.update_counter("/", &page_view::count, 255, {}) == 255);
    CHECK_THROWS_AS(views.update_counter("/", &page_view::count), std::overflow_error);
    CHECK(
        views.update_counter("/", &page_view::count, {.by = 1, .threshold = 255, .set_to = 1}) ==
        1);
  }

  TEST_CASE("single members are read and set; update changes a row but not its key") {
    user_list users{for_all};
    users.insert({1, "Ada"});
    CHECK(users.update_element(1, &user::name, "Ada Lovelace"));
    CHECK_FALSE(users.update_element(2, &user::name, "Bob"));
    CHECK(users.lookup_element(1, &user::name) == "Ada Lovelace");
    CHECK(users.lookup_element(2, &user::name, "nobody") == "nobody");
    CHECK_THROWS_AS(users.lookup_element(2, &user::name), std::invalid_argument);
    CHECK(users.update(1, [](user& u) { u.visits = 2 * static_cast<int>(u.name.size()); }));
    CHECK(users.lookup(1) == user{1, "Ada Lovelace", 24});
    CHECK_THROWS_WITH_AS(
        users.update(1, [](user& u) { u.id = 2; }), doctest::Contains("keep its key"),
        std::invalid_argument);
    CHECK_THROWS_AS(
        users.update(1, [](user&) { throw std::runtime_error("no"); }), std::runtime_error);
    CHECK(users.size() == 1);
  }

  TEST_CASE("select, select_count, select_delete and foldl look at every row") {
    user_set users{for_all};
    for (int i = 0; i < 1000; ++i) users.insert({i, "user", i % 10});
    auto seven = [](const user& u) { return u.visits == 7; };
    CHECK(users.select(seven).size() == 100);
    CHECK(users.select_count(seven) == 100);
    CHECK(users.foldl([](const user& u, long sum) { return sum + u.id; }, 0L) == 499'500);
    CHECK(users.select_delete(seven) == 100);
    CHECK(users.size() == 900);
    CHECK(users.select_count(seven) == 0);
  }

  TEST_CASE("select with a limit answers pages until the end of the table") {
    user_set set{for_all};
    user_list list{for_all};
    for (int i = 0; i < 1000; ++i) {
      set.insert({i});
      list.insert({i});
    }
    auto even = [](const user& u) { return u.id % 2 == 0; };
    auto walk = [&](auto& table, std::size_t limit) {
      std::vector<int> ids;
      for (auto page = table.select(even, limit); !page.rows.empty(); page = page.next()) {
        CHECK(page.rows.size() <= limit);
        for (auto& row : page.rows) ids.push_back(row.id);
      }
      return ids;
    };
    for (std::size_t limit : {1, 7, 100, 500, 5000}) {
      auto ids = walk(set, limit);
      CHECK(std::set<int>(ids.begin(), ids.end()).size() == 500);
      CHECK(ids.size() == 500);
      auto ordered = walk(list, limit);
      CHECK(ordered.size() == 500);
      CHECK(std::is_sorted(ordered.begin(), ordered.end()));
    }
    CHECK_THROWS_AS(set.select(even, 0), std::invalid_argument);
    CHECK(user_set{for_all}.select(even, 9).rows.empty());
  }

  TEST_CASE("whatever happens to it, a table is what a map would be") {
    auto story = [](auto table, auto make_key, std::size_t keys) {
      std::map<int, int> model;
      std::mt19937 random{42};
      int wrong = 0;
      for (int i = 0; i < 60'000; ++i) {
        // Long phases of growing and of shrinking.
        bool growing = i / 10'000 % 2 == 0;
        int key = static_cast<int>(random() % (growing ? keys : keys / 10));
        int dice = static_cast<int>(random() % 10);
        if (dice < (growing ? 7 : 1)) {
          table.insert({make_key(key), i});
          model[key] = i;
        } else if (dice < 8) {
          auto taken = table.take(make_key(key));
          wrong += taken.has_value() == (model.erase(key) == 1) ? 0 : 1;
        } else {
          auto found = table.lookup(make_key(key));
          auto expected = model.find(key);
          bool same = found ? expected != model.end() && found->value == expected->second
                            : expected == model.end();
          wrong += same ? 0 : 1;
        }
        if (!growing && dice == 9)
          for (int gone = 0; gone < 3 && !model.empty(); ++gone) {
            table.erase(make_key(model.begin()->first));
            model.erase(model.begin());
          }
        if (i % 5000 == 0) {
          long sum = 0;
          for (auto& [k, v] : model) sum += v;
          CHECK(table.foldl([](const auto& row, long s) { return s + row.value; }, 0L) == sum);
          std::size_t rows = 0;
          for (auto page = table.select([](auto&) { return true; }, 50); !page.rows.empty();
               page = page.next())
            rows += page.rows.size();
          CHECK(rows == model.size());
        }
      }
      CHECK(wrong == 0);
      CHECK(table.size() == model.size());
      table.delete_all_objects();
      CHECK(table.size() == 0);
      CHECK(table.tab2list().empty());
    };
    struct number {
      int key;
      int value;
    };
    auto same = [](int key) { return key; };
    story(ets::set<number, &number::key>{for_all}, same, 3000);
    story(ets::ordered_set<number, &number::key>{for_all}, same, 3000);
    story(
        ets::set<clumsy_row, &clumsy_row::key>{for_all}, [](int key) { return clumsy_key{key}; },
        100);
  }

  TEST_CASE("keys whose hashes collide are all there, also across pages") {
    ets::set<clumsy_row, &clumsy_row::key> table{for_all};
    for (int i = 0; i < 700; ++i) table.insert({{i}, i});
    for (int i = 0; i < 700; i += 2) table.erase({i});
    for (int i = 0; i < 700; ++i) CHECK(table.member({i}) == (i % 2 == 1));
    std::set<int> seen;
    std::size_t pages = 0;
    for (auto page = table.select([](auto&) { return true; }, 10); !page.rows.empty();
         page = page.next(), ++pages)
      for (auto& row : page.rows) CHECK(seen.insert(row.value).second);
    CHECK(seen.size() == 350);
    CHECK(pages == 7);
  }

  TEST_CASE("functions given to a table may use it themselves") {
    user_set users{for_all};
    user_list list{for_all};
    auto story = [](auto& table) {
      for (int i = 0; i < 500; ++i) table.insert({i});
      table.for_each([&](const user& u) {
        if (u.id < 500) table.insert({1000 + u.id});
        table.erase(u.id);
      });
      for (int i = 0; i < 500; ++i) CHECK_FALSE(table.member(i));
      table.for_each([&](const user&) { table.delete_all_objects(); });
      CHECK(table.size() == 0);
    };
    story(users);
    story(list);
  }

  // --- names, access, lifetime
  // ---------------------------------------------------------------------

  TEST_CASE("a named table is found by its name, and by its type") {
    user_set users{{.name = "users", .access = ets::public_}};
    users.insert({1, "Ada"});
    auto same = ets::whereis<user_set>("users");
    REQUIRE(same);
    CHECK(same == users);
    CHECK(same.lookup(1)->name == "Ada");
    CHECK_FALSE(ets::whereis<user_set>("strangers"));
    CHECK_THROWS_WITH_AS(
        ets::whereis<visit_bag>("users"),
        doctest::Contains("expected the table users to be an ets::bag<"), std::invalid_argument);
    CHECK_THROWS_WITH_AS(
        ets::whereis<user_list>("users"), doctest::Contains("got an ets::set<"),
        std::invalid_argument);
    CHECK_THROWS_WITH_AS(
        user_list({.name = "users"}), doctest::Contains("to be free"), std::invalid_argument);
    users.delete_table();
    CHECK_FALSE(ets::whereis<user_set>("users"));
    CHECK_NOTHROW(user_list({.name = "users"}));
  }

  TEST_CASE("a deleted table and an empty handle say what they are") {
    user_set users{{.name = "users", .access = ets::public_}};
    auto copy = users;
    users.insert({1});
    users.delete_table();
    CHECK_THROWS_WITH_AS(
        copy.lookup(1), doctest::Contains("users to exist, got one that was deleted"),
        std::invalid_argument);
    CHECK_THROWS_AS(copy.insert({1}), std::invalid_argument);
    CHECK_THROWS_AS(copy.size(), std::invalid_argument);
    CHECK_THROWS_AS(copy.delete_table(), std::invalid_argument);
    CHECK(copy.name() == "users");
    CHECK_THROWS_WITH_AS(
        user_set().lookup(1), doctest::Contains("got an empty one"), std::invalid_argument);
  }

  TEST_CASE_FIXTURE(
      node, "only the owner writes to a protected table, and only it sees a private one") {
    auto owner = roost::start<helper>();
    auto other = roost::start<helper>();
    CHECK(in(owner, [] {
            user_set open({.name = "open", .access = ets::public_});
            user_set guarded({.name = "guarded"});
            user_set hidden({.name = "hidden", .access = ets::private_});
            open.insert({1, "a"});
            guarded.insert({1, "b"});
            hidden.insert({1, "c"});
            return open.lookup(1)->name + guarded.lookup(1)->name + hidden.lookup(1)->name;
          }) == "abc");
    auto table = [](const char* name) { return ets::whereis<user_set>(name); };

    CHECK(in(other, [&] { return table("open").insert({2}), "written"; }) == "written");
    CHECK(in(other, [&] { return table("guarded").lookup(1)->name; }) == "b");
    CHECK(
        in(other, [&] { return table("guarded").insert({2}), "written"; }) ==
        "expected " + to_string(owner.process()) +
            ", the owner of the protected table guarded, to write to it, got " +
            to_string(other.process()) + " (badarg)");
    CHECK(in(other, [&] {
            return table("hidden").lookup(1)->name;
          }).find("to read it") != std::string::npos);
    CHECK_THROWS_AS(table("hidden").lookup(1), std::logic_error);
    CHECK_THROWS_AS(table("guarded").erase(1), std::logic_error);
    CHECK_THROWS_AS(table("guarded").delete_all_objects(), std::logic_error);
    CHECK_THROWS_AS(table("guarded").delete_table(), std::logic_error);
    CHECK(table("guarded").lookup(1)->name == "b");

    auto about = table("guarded").info();
    CHECK(about.name == "guarded");
    CHECK(about.owner == owner.process());
    CHECK(about.kind == ets::kind::set);
    CHECK(about.access == ets::protected_);
    CHECK(about.size == 1);
    CHECK(about.memory > sizeof(user));
  }

  TEST_CASE_FIXTURE(node, "a table goes with its owner") {
    auto owner = roost::start<helper>();
    user_set users;
    in(owner, [&] { return users = user_set({.name = "users"}), users.insert({1}), ""; });
    CHECK(users.size() == 1);
    end(owner);
    CHECK(eventually([&] {
      try {
        return users.size() == 9;
      } catch (const std::invalid_argument&) {
        return true;
      }
    }));
    CHECK_FALSE(ets::whereis<user_set>("users"));
  }

  TEST_CASE_FIXTURE(node, "a restarted server finds the name of its table free") {
    for (int i = 0; i < 200; ++i) {
      auto owner = roost::start<helper>();
      auto text = in(owner, [] { return user_set({.name = "users"}).insert({1}), "made"; });
      REQUIRE(text == "made");
      auto ended = std::make_shared<std::promise<void>>();
      // As a supervisor, which hears of the end and starts the next one at once.
      roost::start<watcher>(owner, ended);
      ended->get_future().wait();
    }
  }

  TEST_CASE_FIXTURE(node, "an heir gets the table and is told so") {
    auto owner = roost::start<helper>();
    auto heir = roost::start<helper>();
    in(owner, [heir] {
      user_set users(
          {.name = "users", .heir = heir.process(), .heir_data = std::string("for you")});
      return users.insert({1, "Ada"}), "";
    });
    end(owner);
    REQUIRE(eventually([&] { return !call(heir, helper::inherited{}).get().empty(); }));
    CHECK(
        call(heir, helper::inherited{}).get() ==
        std::vector{"users from " + to_string(owner.process()) + ", for you"});
    auto users = ets::whereis<user_set>("users");
    CHECK(users.lookup(1)->name == "Ada");
    CHECK(users.info().owner == heir.process());
    CHECK(in(heir, [users] { return users.insert({2}), "written"; }) == "written");
    end(heir);
    CHECK(eventually([] { return !ets::whereis<user_set>("users"); }));
  }

  TEST_CASE_FIXTURE(
      node, "an heir without a name for the table still gets it; a dead one does not") {
    auto heir = roost::start<helper>();
    auto owner = roost::start<helper>();
    auto watched = std::make_shared<int>(7);
    struct holder {
      int key;
      std::shared_ptr<int> what;
    };
    using holders = ets::set<holder, &holder::key>;
    in(owner, [&] {
      holders first({.heir = heir.process(), .heir_data = std::string("nameless")});
      first.insert({1, watched});
      holders second({.heir = roost::spawn([] {}), .heir_data = std::string("never")});
      second.insert({2, watched});
      return "";
    });
    CHECK(watched.use_count() == 3);
    end(owner);
    REQUIRE(eventually([&] { return !call(heir, helper::inherited{}).get().empty(); }));
    CHECK(eventually([&] { return watched.use_count() == 2; }));
    end(heir);
    CHECK(eventually([&] { return watched.use_count() == 1; }));
  }

  TEST_CASE_FIXTURE(node, "a table is given away") {
    auto owner = roost::start<helper>();
    auto next = roost::start<helper>();
    in(owner, [] { return user_set({.name = "users"}).insert({1}), ""; });
    auto users = ets::whereis<user_set>("users");
    auto give = [&] { return users.give_away(next.process(), std::string("yours")), "given"; };
    CHECK(in(next, give).find("to give it away") != std::string::npos);
    CHECK(in(owner, give) == "given");
    CHECK(
        call(next, helper::inherited{}).get() ==
        std::vector{"users from " + to_string(owner.process()) + ", yours"});
    CHECK(in(owner, [&] {
            return users.insert({2}), "";
          }).find("to write to it") != std::string::npos);
    CHECK(in(next, [&] { return users.insert({2}), "written"; }) == "written");
    end(owner);
    CHECK(users.size() == 2);

    auto gone = roost::spawn([] {});
    REQUIRE(eventually([&] { return !is_alive(gone); }));
    CHECK(in(next, [&] {
            return users.give_away(gone), "";
          }).find("living process") != std::string::npos);
    CHECK(in(next, [&] { return users.set_heir(owner.process()), "set"; }) == "set");
    end(next);
    CHECK(eventually([] { return !ets::whereis<user_set>("users"); }));
  }

  TEST_CASE("a table that nobody owns goes with its last handle, and its rows with it") {
    auto watched = std::make_shared<int>(7);
    struct holder {
      int key;
      std::shared_ptr<int> what;
    };
    auto story = [&](auto table, const char* name, std::size_t size) {
      using type = decltype(table);
      for (int i = 0; i < 100; ++i) table.insert({i, watched});
      for (int i = 0; i < 50; ++i) table.erase(i);
      for (int i = 50; i < 60; ++i) table.insert({i, watched});
      auto copy = table;
      table = type();
      CHECK(ets::whereis<type>(name).size() == size);
      copy = type();
      CHECK(watched.use_count() == 1);
      CHECK_FALSE(ets::whereis<type>(name));
    };
    story(ets::set<holder, &holder::key>({.name = "a"}), "a", 50);
    story(ets::ordered_set<holder, &holder::key>({.name = "b"}), "b", 50);
    story(ets::duplicate_bag<holder, &holder::key>({.name = "c"}), "c", 60);

    ets::set<holder, &holder::key> table{for_all};
    for (int i = 0; i < 100; ++i) table.insert({i, watched});
    table.delete_all_objects();
    CHECK(watched.use_count() == 1);
    table.insert({1, watched});
    auto other = table;
    table.delete_table();
    CHECK(watched.use_count() == 1);
  }

  TEST_CASE("a node ends at once, though tables have owners") {
    auto begin = std::chrono::steady_clock::now();
    {
      node node;
      auto owner = roost::start<helper>();
      in(owner, [] { return user_set({.name = "users"}).insert({1}), ""; });
      user_set mine{{.name = "mine"}};
    }
    CHECK(std::chrono::steady_clock::now() - begin < 2s);
    CHECK_FALSE(ets::whereis<user_set>("users"));
  }

  TEST_CASE_FIXTURE(node, "a large table with destructors is freed by others") {
    auto owner = roost::start<helper>();
    auto watched = std::make_shared<int>(7);
    struct holder {
      int key;
      std::shared_ptr<int> what;
    };
    in(owner, [&] {
      ets::set<holder, &holder::key> large({.name = "large"});
      for (int i = 0; i < 100'000; ++i) large.insert({i, watched});
      return "";
    });
    end(owner);
    CHECK(eventually([&] { return watched.use_count() == 1; }));
  }

  // --- many threads
  // --------------------------------------------------------------------------------

  /// Runs the functions at the same time.
  template <class... F>
  void together(F... functions) {
    std::vector<std::thread> threads;
    (threads.emplace_back(functions), ...);
    for (auto& thread : threads) thread.join();
  }

  TEST_CASE("a scan sees each row that stays exactly once, while others write") {
    auto story = [](auto table) {
      constexpr int staying = 500;
      for (int i = 0; i < staying; ++i) table.insert({2 * i, "stays"});
      std::atomic<bool> done{false};
      int wrong = 0;
      auto check = [&](auto collect) {
        std::vector<int> seen(staying);
        collect([&](const user& u) {
          if (u.id % 2 == 0) ++seen[static_cast<std::size_t>(u.id) / 2];
        });
        return std::count(seen.begin(), seen.end(), 1) == staying;
      };
      together(
          [&] {
            // Grows and shrinks the table many times over, and replaces what stays.
            for (int round = 0; round < 12; ++round) {
              for (int i = 0; i < 4000; ++i) table.insert({2 * i + 1, "comes and goes"});
              for (int i = 0; i < staying; ++i) table.update_counter(2 * i, &user::visits);
              for (int i = 0; i < 4000; ++i) table.erase(2 * i + 1);
            }
            done = true;
          },
          [&] {
            do {
              wrong += check([&](auto f) { table.for_each(f); }) ? 0 : 1;
              wrong += check([&](auto f) {
                for (auto page = table.select([](auto&) { return true; }, 37); !page.rows.empty();
                     page = page.next())
                  std::for_each(page.rows.begin(), page.rows.end(), f);
              })
                           ? 0
                           : 1;
            } while (!done);
          });
      CHECK(wrong == 0);
      for (int i = 0; i < staying; ++i) CHECK(table.lookup_element(2 * i, &user::visits) == 12);
    };
    story(user_set{for_all});
    story(user_list{for_all});
  }

  TEST_CASE("readers see whole rows, and never miss one that is there") {
    struct twin {
      int key;
      std::string left;
      std::string right;
    };
    auto story = [](auto table) {
      auto text = [](int i) { return std::string(20, static_cast<char>('a' + i % 26)); };
      for (int i = 0; i < 100; ++i) table.insert({i, text(i), text(i)});
      std::atomic<bool> done{false};
      std::atomic<int> missed{0}, torn{0};
      auto reader = [&] {
        for (int i = 0; !done; i = (i + 1) % 100) {
          auto row = table.lookup(i);
          if (!row)
            ++missed;
          else if (row->left != row->right)
            ++torn;
        }
      };
      together(
          [&] {
            for (int i = 0; i < 20'000; ++i) {
              table.insert({i % 100, text(i), text(i)});
              table.insert({100 + i, text(i), text(i)});
              if (i >= 1000) table.erase(100 + i - 1000);
            }
            done = true;
          },
          reader, reader);
      CHECK(missed == 0);
      CHECK(torn == 0);
    };
    story(ets::set<twin, &twin::key>{for_all});
    story(ets::ordered_set<twin, &twin::key>{for_all});
  }

  TEST_CASE("no write is lost, and each race has one winner") {
    auto story = [](auto table) {
      std::atomic<int> created{0}, taken{0};
      auto writer = [&] {
        for (int i = 0; i < 5000; ++i) {
          created += table.insert_new({i}) ? 1 : 0;
          table.update_counter(1'000'000, &user::visits, 1, {});
          table.update(1'000'001, [](user& u) { ++u.visits; });
          taken += table.take(i) ? 1 : 0;
        }
      };
      table.insert({1'000'001});
      together(writer, writer, writer);
      CHECK(created == taken);
      CHECK(created >= 5000);
      CHECK(table.lookup_element(1'000'000, &user::visits) == 15'000);
      CHECK(table.lookup_element(1'000'001, &user::visits) == 15'000);
      CHECK(table.size() == 2);
    };
    story(user_set{for_all});
    story(user_list{for_all});
  }

  TEST_CASE("bags keep what many put in and take out at the same time") {
    visit_log log{for_all};
    visit_bag bag{for_all};
    std::atomic<bool> done{false};
    std::atomic<int> doubles{0};
    auto writer = [&](int id) {
      return [&, id] {
        for (int i = 0; i < 300; ++i) {
          log.insert({"Ada", id});
          bag.insert({"Ada", id * 1000 + i});
          bag.insert({"Ada", i});
          if (i % 2 == 1) bag.erase_object({"Ada", id * 1000 + i});
        }
      };
    };
    std::thread reader([&] {
      while (!done) {
        auto rows = bag.lookup("Ada");
        std::set<int> days;
        for (auto& row : rows) doubles += days.insert(row.day).second ? 0 : 1;
      }
    });
    together(writer(1), writer(2), writer(3));
    done = true;
    reader.join();
    CHECK(doubles == 0);
    CHECK(log.lookup("Ada").size() == 900);
    CHECK(bag.lookup("Ada").size() == 300 + 3 * 150);
    CHECK(bag.size() == 750);
  }

  TEST_CASE("a table may be emptied or deleted while others use it") {
    auto story = [](auto table) {
      for (int round = 0; round < 20; ++round) {
        decltype(table) shared{for_all};
        std::atomic<int> badargs{0}, wrong{0};
        auto user_thread = [&](int seed) {
          return [&, seed] {
            try {
              for (int i = seed;; i = (i + 1) % 1000) {
                shared.insert({i, "somebody with a long enough name"});
                auto row = shared.lookup((i * 7) % 1000);
                if (row && row->name != "somebody with a long enough name") ++wrong;
                if (i % 100 == 0) (void)shared.select_count([](auto& u) { return u.id % 2 == 0; });
              }
            } catch (const std::invalid_argument&) {
              ++badargs;
            }
          };
        };
        together(user_thread(0), user_thread(500), [&] {
          for (int i = 0; i < 10; ++i) shared.delete_all_objects();
          shared.delete_table();
        });
        CHECK(badargs == 2);
        CHECK(wrong == 0);
      }
    };
    story(user_set{});
    story(user_list{});
  }

  TEST_CASE_FIXTURE(node, "processes share a table while its owners come and go") {
    auto first = roost::start<helper>();
    in(first, [] { return user_set({.name = "shared", .access = ets::public_}).insert({0}), ""; });
    auto shared = ets::whereis<user_set>("shared");
    auto rounds = std::make_shared<std::atomic<int>>(0);
    for (int i = 0; i < 8; ++i)
      spawn([shared, rounds] {
        for (int n = 0; n < 1000; ++n) shared.update_counter(0, &user::visits);
        ++*rounds;
      });
    auto owner = first;
    for (int i = 0; i < 20; ++i) {
      auto next = roost::start<helper>();
      CHECK(in(owner, [&] {
              return shared.give_away(next.process(), std::string()), "given";
            }) == "given");
      end(owner);
      owner = next;
    }
    REQUIRE(eventually([&] { return *rounds == 8; }));
    CHECK(shared.lookup_element(0, &user::visits) == 8000);
  }
}
