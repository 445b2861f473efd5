#include "runtime/discovery/hosts_file.hpp"
#include "runtime/discovery/local.hpp"
#include "tests/support.hpp"
#include <unistd.h>
#include <algorithm>
#include <filesystem>
#include <fstream>

using namespace roost::discovery;
using namespace roost::test;
using names = std::vector<std::string>;
namespace fs = std::filesystem;

namespace {

struct directory {
  directory() {
    auto name = (fs::temp_directory_path() / "roost_hosts_XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~directory() { fs::remove_all(path); }
  void write(std::string_view text) const { std::ofstream(path / ".hosts.erlang") << text; }
  fs::path path;
};

/// Port mappers of three hosts, one of which is silent.
bindings mappers() {
  return {
      .self = [] { return std::string("chat@one"); },
      .cookie = [] { return std::string(); },
      .names =
          [](const std::string& host) {
            if (host == "one" || host == "127.0.0.1") return names{"chat", "web"};
            if (host == "two") return names{"chat"};
            throw std::runtime_error("expected a port mapper at " + host + ", got silence");
          }};
}

names sorted(names list) {
  std::sort(list.begin(), list.end());
  return list;
}

}  // namespace

TEST_CASE("a hosts file is read as Erlang reads it") {
  CHECK(
      parse_hosts("'a.example.com'.\n"
                  "  \"b.example.com\" . % with a comment\n"
                  "%% another\n"
                  "\n"
                  "plain.\n"
                  "'10.0.0.1'. 'fe80::1'. % no newline at the end") ==
      names{"a.example.com", "b.example.com", "plain", "10.0.0.1", "fe80::1"});
  CHECK(parse_hosts("").empty());
  CHECK(parse_hosts("% only this").empty());
}

TEST_CASE("a hosts file that is wrong is a sentence with its line") {
  auto failure = [](std::string_view text) -> std::string {
    try {
      parse_hosts(text);
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return "no error";
  };
  CHECK(failure("'a'.\n'b'\n'c'.") == "expected a full stop after the host b, got 'c'. (line 3)");
  CHECK(failure("'a'") == "expected a full stop after the host a, got nothing (line 1)");
  CHECK(failure("'a.").starts_with("expected the name of a host, got a."));
  CHECK(failure("A.").starts_with("expected the name of a host, 'in.quotes', got A."));
  CHECK(failure("''.").starts_with("expected the name of a host"));
  CHECK(failure("'a b'.").starts_with("expected the name of a host"));
  CHECK(failure("plain.host.").starts_with("expected a full stop"));
  CHECK(failure("{a}.").starts_with("expected the name of a host"));
}

TEST_CASE("the nodes of all hosts in the file are found, but those of hosts that do not answer") {
  directory there;
  there.write("'one'.\n'silent'.\n'two'.\n");
  hosts_file strategy({.directories = {"/nonexistent", there.path.string()}}, mappers());
  CHECK(sorted(strategy.look()) == names{"chat@one", "chat@two", "web@one"});
  there.write("'two'.\n");  // read anew
  CHECK(strategy.look() == names{"chat@two"});
  there.write("");
  CHECK(strategy.look().empty());
}

TEST_CASE("many hosts are asked at once") {
  directory there;
  std::string text;
  for (int i = 0; i < 40; ++i) text += "'host" + std::to_string(i) + "'.\n";
  there.write(text);
  std::atomic<int> asking = 0, most = 0;
  auto slow = mappers();
  slow.names = [&](const std::string&) {
    auto now = ++asking;
    for (auto seen = most.load(); seen < now && !most.compare_exchange_weak(seen, now);) {
    }
    eventually([&] { return most >= 8; }, 5s);
    --asking;
    return names{"a"};
  };
  hosts_file strategy({.directories = {there.path.string()}}, slow);
  CHECK(strategy.look().size() == 40);
  CHECK(most >= 8);
  CHECK(most <= 16);
}

TEST_CASE("a look fails when there is no file, a wrong one, or nobody who answers") {
  directory there;
  hosts_file strategy({.directories = {there.path.string()}}, mappers());
  CHECK_THROWS_WITH(
      strategy.look(),
      ("expected a file .hosts.erlang in " + there.path.string() + ", got none").c_str());
  there.write("'one");
  CHECK_THROWS_WITH(
      strategy.look(),
      (there.path.string() + "/.hosts.erlang: expected the name of a host, got one (line 1)")
          .c_str());
  there.write("'silent'.\n'mute'.\n");
  CHECK_THROWS_WITH(strategy.look(), "expected a port mapper at silent, got silence");
}

TEST_CASE("the file is looked for where the program runs, at home, and in its release") {
  directory home, release;
  auto old_home = std::getenv("HOME");
  std::string kept = old_home != nullptr ? old_home : "";
  ::setenv("HOME", home.path.c_str(), 1);
  ::setenv("RELEASE_ROOT", release.path.c_str(), 1);
  release.write("'two'.\n");
  hosts_file strategy({}, mappers());
  CHECK(strategy.look() == names{"chat@two"});
  home.write("'one'.\n");
  CHECK(strategy.look() == names{"chat@one", "web@one"});
  ::unsetenv("RELEASE_ROOT");
  ::setenv("HOME", kept.c_str(), 1);
}

TEST_CASE("local finds the nodes of this host under the host of this node's name") {
  local strategy({}, mappers());
  CHECK(strategy.look() == names{"chat@one", "web@one"});
  auto unnamed = mappers();
  unnamed.self = [] { return std::string("nonode@nohost"); };
  CHECK(local({}, unnamed).look().empty());
}
