#include "runtime/config.hpp"
#include <doctest/doctest.h>
#include <unistd.h>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <thread>

using namespace std::chrono_literals;
using roost::byte_size;
using roost::config;
using roost::config_kind;
using texts = std::vector<std::string>;

namespace {

std::string failure_of(const std::function<void()>& act) {
  try {
    act();
  } catch (const roost::config_error& error) {
    return error.what();
  }
  return "no error";
}

config chat(std::string_view text, const texts& overrides = {}) {
  return config::from_text(text, "conf/chat.yaml", overrides);
}

}  // namespace

TEST_CASE("a key is read with its type, or its default when it is absent") {
  auto conf = chat(
      "endpoint:\n"
      "  http: {port: 4000, ip: 127.0.0.1}\n"
      "  server: true\n"
      "  ratio: 0.5\n"
      "  origins: [//a.example, //b.example]\n");
  CHECK(conf.get<int>("endpoint.http.port", 1) == 4000);
  CHECK(conf.get<std::uint16_t>("endpoint.http.port", 1) == 4000);
  CHECK(conf.get<std::string>("endpoint.http.ip", "") == "127.0.0.1");
  CHECK(conf.get<bool>("endpoint.server", false));
  CHECK(conf.get<double>("endpoint.ratio", 0) == 0.5);
  CHECK(conf.get<texts>("endpoint.origins", {}) == texts{"//a.example", "//b.example"});
  CHECK(conf.get("endpoint.http.backlog", 128) == 128);
  CHECK(conf.get<std::string>("name", "chat") == "chat");
  CHECK(conf.require<int>("endpoint.http.port") == 4000);
}

TEST_CASE("an empty configuration answers every default") {
  CHECK(config().get<int>("port", 4000) == 4000);
  CHECK(chat("").get<int>("port", 4000) == 4000);
  CHECK(chat("# only a comment\n").get<int>("port", 4000) == 4000);
  CHECK(chat("port:\n").get<int>("port", 4000) == 4000);
  CHECK(failure_of([] {
          config().require<int>("port");
        }) == "expected port to be set, got nothing (no configuration file)");
}

TEST_CASE("a value of the wrong type is one sentence with its line") {
  auto conf = chat(
      "port: many\n"
      "server: yes\n"
      "name: [a]\n"
      "ratio: half a pint\n"
      "hosts:\n"
      "  a: 1\n"
      "pair: [a, [b]]\n"
      "empty: \"\"\n");
  auto failure = [&]<class T>(const char* key, T fallback) {
    return failure_of([&] { conf.get<T>(key, fallback); });
  };
  CHECK(failure("port", 1) == "expected port to be a whole number, got many (conf/chat.yaml:1)");
  CHECK(
      failure("server", true) == "expected server to be true or false, got yes (conf/chat.yaml:2)");
  CHECK(
      failure("name", std::string()) == "expected name to be text, got a list (conf/chat.yaml:3)");
  CHECK(
      failure("ratio", 0.0) ==
      "expected ratio to be a number, got \"half a pint\" (conf/chat.yaml:4)");
  CHECK(
      failure("hosts", texts()) == "expected hosts to be a list, got a section (conf/chat.yaml:5)");
  CHECK(failure("pair", texts()) == "expected pair.1 to be text, got a list (conf/chat.yaml:7)");
  CHECK(failure("empty", 1) == "expected empty to be a whole number, got \"\" (conf/chat.yaml:8)");
  CHECK(failure_of([&] {
          conf.require<int>("absent");
        }) == "expected absent to be set, got nothing (conf/chat.yaml)");
}

TEST_CASE("an integer stays inside its range, both ends included") {
  auto conf = chat(
      "low: 0\nfirst: 1\nlast: 65535\nport: 70000\ncold: -300\n"
      "big: 99999999999999999999");
  auto read = [&](const char* key) { return conf.get_in<int>(key, 7, 1, 65535); };
  CHECK(read("absent") == 7);
  CHECK(read("first") == 1);
  CHECK(read("last") == 65535);
  CHECK(failure_of([&] { read("low"); }) == "expected low to be 1–65535, got 0 (conf/chat.yaml:1)");
  CHECK(failure_of([&] {
          read("port");
        }) == "expected port to be 1–65535, got 70000 (conf/chat.yaml:4)");
  CHECK(failure_of([&] {
          conf.get_in<int>("cold", 0, -100, 100);
        }) == "expected cold to be between -100 and 100, got -300 (conf/chat.yaml:5)");
  CHECK(failure_of([&] {
          conf.get<std::size_t>("cold", 0);
        }) == "expected cold to be at least 0, got -300 (conf/chat.yaml:5)");
  CHECK(failure_of([&] {
          conf.get<std::int64_t>("big", 0);
        }) == "expected big to be a whole number, got 99999999999999999999 (conf/chat.yaml:6)");
  CHECK(failure_of([&] {
          conf.get<std::uint16_t>("port", 0);
        }) == "expected port to be 0–65535, got 70000 (conf/chat.yaml:4)");
}

TEST_CASE("durations take a unit, and plain numbers are milliseconds") {
  auto conf = chat(
      "a: 250ms\nb: 5s\nc: 1m\nd: 2h\ne: 1500\nf: infinity\ng: 1.5s\nh: 0.2ms\ni: 1d\n"
      "minus: -5s\nword: soon\nhuge: 99999999999d\nunit: 5 parsecs");
  auto read = [&](const char* key) { return conf.get<std::chrono::milliseconds>(key, 7s); };
  CHECK(read("a") == 250ms);
  CHECK(read("b") == 5s);
  CHECK(read("c") == 1min);
  CHECK(read("d") == 2h);
  CHECK(read("e") == 1500ms);
  CHECK(read("f") == std::chrono::milliseconds::max());
  CHECK(read("g") == 1500ms);
  CHECK(read("h") == 1ms);
  CHECK(read("i") == 24h);
  CHECK(read("absent") == 7s);
  for (const char* key : {"minus", "word", "huge", "unit"}) CHECK_THROWS(read(key));
  CHECK(
      failure_of([&] { read("minus"); }) ==
      "expected minus to be a duration such as 250ms, 5s, 1m, 2h or infinity, got -5s "
      "(conf/chat.yaml:10)");
}

TEST_CASE("byte sizes tell thousands from 1024s") {
  auto conf = chat("a: 4096\nb: 64KB\nc: 64KiB\nd: 1mib\ne: 1.5 GB\nf: 64Q\ng: -1");
  auto read = [&](const char* key) { return conf.get<byte_size>(key, {7}).bytes; };
  CHECK(read("a") == 4096);
  CHECK(read("b") == 64'000);
  CHECK(read("c") == 65'536);
  CHECK(read("d") == 1'048'576);
  CHECK(read("e") == 1'500'000'000);
  CHECK(read("absent") == 7);
  CHECK_THROWS(read("g"));
  CHECK(failure_of([&] {
          read("f");
        }) == "expected f to be a size such as 4096, 64KB or 1MiB, got 64Q (conf/chat.yaml:6)");
}

TEST_CASE("the kind of a key tells the forms of an option apart") {
  auto conf = chat(
      "a: true\nb: 12\nc: //x\nd: [x]\ne: {x: 1}\nf:\ng: \"true\"\nh: '12'\n"
      "i: nan\nj: 5s");
  CHECK(conf.kind("a") == config_kind::boolean);
  CHECK(conf.kind("b") == config_kind::number);
  CHECK(conf.kind("c") == config_kind::text);
  CHECK(conf.kind("d") == config_kind::list);
  CHECK(conf.kind("e") == config_kind::map);
  CHECK(conf.kind("f") == config_kind::absent);
  CHECK(conf.kind("g") == config_kind::text);
  CHECK(conf.kind("h") == config_kind::text);
  CHECK(conf.kind("i") == config_kind::text);
  CHECK(conf.kind("j") == config_kind::text);
  CHECK(conf.kind("z") == config_kind::absent);
  CHECK_FALSE(conf.has("f"));
}

TEST_CASE("an override wins over the file and names itself in errors") {
  auto conf = chat(
      "endpoint:\n  http:\n    port: 4000\nhosts: [a]\n",
      {"endpoint.http.port=4001", "hosts=[b, c]", "endpoint.server=true"});
  CHECK(conf.get<int>("endpoint.http.port", 1) == 4001);
  CHECK(conf.get<texts>("hosts", {}) == texts{"b", "c"});
  CHECK(conf.get<bool>("endpoint.server", false));

  conf.apply_override("endpoint.http.port=70000");
  CHECK(
      failure_of([&] { conf.get_in<int>("endpoint.http.port", 1, 1, 65535); }) ==
      "expected endpoint.http.port to be 1–65535, got 70000 (--set endpoint.http.port=70000)");
  CHECK(conf.where("endpoint.http.port") == "--set endpoint.http.port=70000");
  CHECK(conf.where("hosts") == "--set hosts=\"[b, c]\"");
}

TEST_CASE("an override needs no file, and an empty one brings the default back") {
  config conf;
  conf.apply_override("endpoint.http.port=4001");
  CHECK(conf.get<int>("endpoint.http.port", 1) == 4001);
  conf.apply_override("endpoint.http.port=");
  CHECK(conf.get<int>("endpoint.http.port", 1) == 1);
  conf.apply_override("url=a=b");
  CHECK(conf.get<std::string>("url", "") == "a=b");
}

TEST_CASE("an override that makes no sense is refused") {
  auto conf = chat("port: 5\nhooks: [{url: a}]\n");
  CHECK(failure_of([&] {
          conf.apply_override("port");
        }) == "expected --set to be dotted.key=value, got port");
  for (const char* text : {"=1", ".a=1", "a.=1", "a..b=1", ""})
    CHECK_THROWS_AS(conf.apply_override(text), roost::config_error);
  CHECK(failure_of([&] {
          conf.apply_override("port.http=1");
        }) == "expected port to be a section, got 5 (conf/chat.yaml:1)");
  CHECK(failure_of([&] {
          conf.apply_override("list=[a");
        }).starts_with("expected the value to be valid YAML, got \"end of sequence flow not"));
  conf.apply_override("hooks.0.url=b");
  CHECK(conf.get<std::string>("hooks.0.url", "") == "b");
  CHECK_THROWS_AS(conf.apply_override("hooks.1.url=b"), roost::config_error);
}

TEST_CASE("environment variables stand inside values") {
  ::setenv("ROOST_TEST_PORT", "4002", 1);
  ::setenv("ROOST_TEST_EMPTY", "", 1);
  ::unsetenv("ROOST_TEST_ABSENT");
  auto conf = chat(
      "port: ${ROOST_TEST_PORT}\n"
      "url: http://localhost:${ROOST_TEST_PORT}/${ROOST_TEST_ABSENT:chat}\n"
      "shell: ${ROOST_TEST_ABSENT:-a:b}\n"
      "empty: \"${ROOST_TEST_EMPTY:full}\"\n"
      "none: \"${ROOST_TEST_ABSENT:}\"\n"
      "list: [\"${ROOST_TEST_PORT}\", b]\n"
      "text: $${HOME} costs $5\n");
  CHECK(conf.get<int>("port", 0) == 4002);
  CHECK(conf.kind("port") == config_kind::number);
  CHECK(conf.get<std::string>("url", "") == "http://localhost:4002/chat");
  CHECK(conf.get<std::string>("shell", "") == "a:b");
  CHECK(conf.get<std::string>("empty", "") == "full");
  CHECK(conf.get<std::string>("none", "x") == "");
  CHECK(conf.get<texts>("list", {}) == texts{"4002", "b"});
  CHECK(conf.get<std::string>("text", "") == "${HOME} costs $5");
}

TEST_CASE("a missing variable stops the program at its line, unless the key is overridden") {
  ::unsetenv("ROOST_TEST_ABSENT");
  constexpr auto text = "name: chat\nsecret: ${ROOST_TEST_ABSENT}\n";
  CHECK(
      failure_of([&] { chat(text); }) ==
      "expected environment variable ROOST_TEST_ABSENT to be set, got nothing "
      "(conf/chat.yaml:2)");
  CHECK(chat(text, {"secret=s3cr3t"}).get<std::string>("secret", "") == "s3cr3t");
  CHECK(
      failure_of([] { chat("a: ${ROOST"); }) ==
      "expected a variable to be ${NAME} or ${NAME:default}, got ${ROOST (conf/chat.yaml:1)");
  CHECK(
      failure_of([] { config().apply_override("a=${ROOST_TEST_ABSENT}"); }) ==
      "expected environment variable ROOST_TEST_ABSENT to be set, got nothing "
      "(--set a=${ROOST_TEST_ABSENT})");
}

TEST_CASE("a list may come as one text with commas, as variables do") {
  ::setenv("ROOST_TEST_HOSTS", "a.example, b.example,", 1);
  auto conf = chat("hosts: ${ROOST_TEST_HOSTS}\nnone: \"\"\n", {"origins=//x,//y"});
  CHECK(conf.get<texts>("hosts", {}) == texts{"a.example", "b.example"});
  CHECK(conf.get<texts>("origins", {}) == texts{"//x", "//y"});
  CHECK(conf.get<texts>("none", {"x"}).empty());
}

TEST_CASE("a file that cannot be read says why") {
  CHECK(failure_of([] {
          config::load_file("conf/x.yaml");
        }) == "expected conf/x.yaml to be a readable file, got \"No such file or directory\"");
  CHECK(failure_of([] {
          config::load_file("/");
        }) == "expected / to be a readable file, got \"Is a directory\"");
}

TEST_CASE("a file is read with its overrides") {
  auto name = "roost_config_test_" + std::to_string(::getpid()) + ".yaml";
  auto path = (std::filesystem::temp_directory_path() / name).string();
  auto* file = std::fopen(path.c_str(), "w");
  REQUIRE(file);
  std::fputs("port: 4000\r\nname: chat\r\n", file);
  std::fclose(file);
  auto conf = config::load_file(path, {"port=0"});
  std::remove(path.c_str());
  CHECK(conf.get<std::string>("name", "") == "chat");
  CHECK(conf.where("name") == path + ":2");
  CHECK_THROWS_AS(conf.get_in<int>("port", 1, 1, 65535), roost::config_error);
}

TEST_CASE("broken YAML is refused with its line") {
  CHECK(failure_of([] {
          chat("a: 1\nb: [1, 2\n");
        }).starts_with("expected conf/chat.yaml to be valid YAML, got \""));
  CHECK(
      failure_of([] { chat("a: 1\n  b: 2\n"); }) ==
      "expected conf/chat.yaml to be valid YAML, got \"illegal map value\" (conf/chat.yaml:2)");
  CHECK(failure_of([] {
          chat("a: 1\nb: 2\na: 3\n");
        }) == "expected key a to be written once, got a second one (conf/chat.yaml:3)");
  CHECK(failure_of([] {
          chat("x:\n  a: 1\n  a: 1\n");
        }) == "expected key a to be written once, got a second one (conf/chat.yaml:3)");
  CHECK(failure_of([] {
          chat("- a\n- b\n");
        }) == "expected conf/chat.yaml to be a map of keys, got a list (conf/chat.yaml:1)");
  CHECK(failure_of([] {
          chat("a: 1\n---\nb: 2\n");
        }) == "expected conf/chat.yaml to be one YAML document, got 2");
  CHECK(failure_of([] {
          chat("[a, b]: 1\n");
        }) == "expected a key to be text, got a list or a map (conf/chat.yaml:1)");
}

TEST_CASE("aliases are followed, but cannot make a file endless") {
  auto conf = chat("base: &base {port: 1}\nother: *base\n");
  CHECK(conf.get<int>("other.port", 0) == 1);
  CHECK_THROWS_AS(chat("a: &a [*a]\n"), roost::config_error);
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 9; ++i) {
    auto below = "*a" + std::to_string(i - 1);
    auto name = "a" + std::to_string(i);
    bomb += name + ": &" + name + " [" + below;
    for (int j = 1; j < 10; ++j) bomb += ", " + below;
    bomb += "]\n";
  }
  CHECK_THROWS_AS(chat(bomb), roost::config_error);
}

TEST_CASE("a misspelt key is named with its line and the closest key that would be read") {
  auto conf = chat("name: chat\n\nendpoint:\n  htpp: {port: 1}\n  pub_sub: chat\n");
  conf.get<std::string>("name", "");
  conf.get<int>("endpoint.http.port", 1);
  conf.get<std::string>("endpoint.pub_sub", "");
  CHECK(conf.unknown_keys() == texts{"endpoint.htpp"});
  CHECK(
      failure_of([&] { conf.check_unknown(); }) ==
      "expected one of http, pub_sub in section endpoint, got htpp (conf/chat.yaml:4); did you "
      "mean http?");
}

TEST_CASE("unknown keys at the top, in overrides and in unread sections are found") {
  auto conf = chat("zebra: 1\nlogger: {level: info}\n", {"endpoint.prot=1"});
  conf.get<int>("endpoint.port", 1);
  conf.section("logger");
  CHECK(conf.unknown_keys() == texts{"zebra", "logger.level", "endpoint.prot"});
  CHECK(failure_of([&] {
          conf.check_unknown();
        }) == "expected one of endpoint, logger at the top level, got zebra (conf/chat.yaml:1)");
  CHECK(failure_of([&] {
          conf.section("logger").check_unknown();
        }) == "expected no key in section logger, got level (conf/chat.yaml:2)");
  CHECK(
      failure_of([&] { conf.section("endpoint").check_unknown(); }) ==
      "expected one of port in section endpoint, got prot (--set endpoint.prot=1); did you mean "
      "port?");
}

TEST_CASE("a configuration that is read completely has no unknown keys") {
  auto conf = chat(
      "port: 1\nhosts: [a, b]\nmine: {any: {thing: 1}}\nhooks: [{url: a}, {url: b}]\n"
      "empty: {}\nnothing:\n");
  conf.get<int>("port", 1);
  conf.get<texts>("hosts", {});
  conf.allow_section("mine");
  conf.section("empty");
  conf.has("nothing");
  for (std::size_t i = 0; i < conf.size("hooks"); ++i)
    conf.section("hooks." + std::to_string(i)).get<std::string>("url", "");
  CHECK(conf.unknown_keys() == texts{});
  conf.check_unknown();
}

TEST_CASE("a key inside a list of sections is checked too") {
  auto conf = chat("hooks:\n  - url: a\n  - ulr: b\n");
  for (auto item : {"hooks.0", "hooks.1"}) conf.section(item).get<std::string>("url", "");
  CHECK(conf.unknown_keys() == texts{"hooks.1.ulr"});
}

TEST_CASE("a section reads relative keys from the same source") {
  auto conf = chat("endpoint:\n  http:\n    port: 70000\n");
  auto http = conf.section("endpoint").section("http");
  CHECK(http.get<int>("port", 1) == 70000);
  CHECK(failure_of([&] {
          http.get_in<int>("port", 1, 1, 65535);
        }) == "expected endpoint.http.port to be 1–65535, got 70000 (conf/chat.yaml:3)");
  CHECK(conf.unknown_keys().empty());
  CHECK(conf.section("absent").get<int>("port", 9) == 9);
  CHECK(conf.section("absent").section("too").keys("").empty());
}

TEST_CASE("a section keeps the values it was taken with") {
  auto conf = chat("http: {port: 1}\n");
  auto http = conf.section("http");
  auto copy = conf;
  conf.apply_override("http.port=2");
  CHECK(conf.get<int>("http.port", 0) == 2);
  CHECK(http.get<int>("port", 0) == 1);
  CHECK(copy.get<int>("http.port", 0) == 1);
}

TEST_CASE("a value where a section belongs is an error, not a default") {
  auto conf = chat("endpoint: 4000\nhosts: [a]\n");
  CHECK(failure_of([&] {
          conf.get<int>("endpoint.port", 1);
        }) == "expected endpoint to be a section, got 4000 (conf/chat.yaml:1)");
  CHECK(failure_of([&] {
          conf.section("endpoint");
        }) == "expected endpoint to be a section, got 4000 (conf/chat.yaml:1)");
  CHECK(failure_of([&] {
          conf.keys("hosts");
        }) == "expected hosts to be a section, got a list (conf/chat.yaml:2)");
}

TEST_CASE("names with dots are keys as well") {
  auto conf = chat("hosts:\n  chat.example.com: {port: 1}\n  other: {port: 2}\n");
  CHECK(conf.keys("hosts") == texts{"chat.example.com", "other"});
  for (const auto& host : conf.keys("hosts"))
    CHECK(conf.section("hosts").section(host).get<int>("port", 0) > 0);
  CHECK(conf.unknown_keys().empty());
}

TEST_CASE("errors hide values that look like secrets") {
  auto conf = chat("\npassword: hunter2\n", {"db.token=t0p"});
  CHECK(
      std::string(conf.error("password", "at least 64 bytes long").what()) ==
      "expected password to be at least 64 bytes long, got [FILTERED] (conf/chat.yaml:2)");
  CHECK(failure_of([&] {
          conf.get<int>("db.token", 1);
        }) == "expected db.token to be a whole number, got [FILTERED] (--set db.token=[FILTERED])");
}

TEST_CASE("several threads may read the same configuration") {
  const auto conf = chat("a: 1\nb: 2\nc: 3\n");
  std::vector<std::thread> readers;
  for (int i = 0; i < 4; ++i)
    readers.emplace_back([&conf, i] {
      for (int j = 0; j < 200; ++j) {
        conf.get<int>("a", 0);
        conf.get<int>("absent." + std::to_string(i * 1000 + j), 0);
        conf.unknown_keys();
      }
    });
  for (auto& reader : readers) reader.join();
  CHECK(conf.unknown_keys() == texts{"b", "c"});
}

TEST_CASE("the configuration of the program is empty until it is set") {
  CHECK(roost::application_config().get<int>("port", 4000) == 4000);
  roost::set_application_config(chat("port: 1\n"));
  CHECK(roost::application_config().get<int>("port", 4000) == 1);
  roost::set_application_config({});
}

TEST_CASE("who needs a few keys only may load a file whose other variables are not set") {
  ::unsetenv("ROOST_TEST_ABSENT");
  auto text = "node: {name: chat}\nsecret: ${ROOST_TEST_ABSENT}\nport: ${ROOST_TEST_ABSENT:-4000}";
  auto conf = roost::config::from_text(text, "x.yaml", {}, roost::config_variables::optional);
  CHECK(conf.get<std::string>("node.name", "") == "chat");
  CHECK_FALSE(conf.has("secret"));
  CHECK(conf.get<int>("port", 0) == 4000);
}
