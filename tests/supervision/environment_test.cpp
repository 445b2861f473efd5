#include "supervision/release/environment.hpp"
#include "supervision/release/command_line.hpp"
#include <doctest/doctest.h>
#include <map>

using namespace roost::detail;
using roost::config;
using roost::config_error;
using roost::node_distribution;

namespace {

/// A program in /opt/chat/bin, on a machine called tower.example.org.
struct machine {
  std::map<std::string, std::string> variables{{"RELEASE_TMP", "/opt/chat/tmp"}};
  std::optional<std::string> name = {};
  std::optional<std::string> sname = {};

  roost::release_environment read(const std::string& yaml = "") const {
    return read_environment(
        {.name = "chat",
         .version = "1.2.3",
         .program = "/opt/chat/bin/chat",
         .host = "tower.example.org",
         .name_flag = name,
         .sname_flag = sname,
         .variable = [this](const char* wanted) -> const char* {
           auto found = variables.find(wanted);
           return found == variables.end() ? nullptr : found->second.c_str();
         }},
        config::from_text(yaml, "conf/chat.yaml"));
  }
};

}  // namespace

TEST_CASE("without anything given a node has no name, and files named after the release") {
  auto release = machine{}.read();
  CHECK(release.node.empty());
  CHECK(release.distribution == node_distribution::none);
  CHECK(release.name == "chat");
  CHECK(release.instance() == "chat");
  CHECK(release.root == "/opt/chat");
  CHECK(release.version == "1.2.3");
}

TEST_CASE("the flag wins over the variable, and the variable over the file") {
  machine machine;
  auto yaml = "node: {name: file@127.0.0.1}";
  CHECK(machine.read(yaml).node == "file@127.0.0.1");
  machine.variables["RELEASE_NODE"] = "variable@127.0.0.1";
  CHECK(machine.read(yaml).node == "variable@127.0.0.1");
  machine.name = "flag@127.0.0.1";
  CHECK(machine.read(yaml).node == "flag@127.0.0.1");
  CHECK(machine.read(yaml).distribution == node_distribution::name);
  machine.name.reset();
  machine.sname = "short";
  CHECK(machine.read(yaml).node == "short@tower");
  CHECK(machine.read(yaml).instance() == "short@tower");
}

TEST_CASE("a short name gets the machine's name up to the first dot") {
  machine machine;
  CHECK(machine.read("node: {name: chat}").node == "chat@tower");
  machine.variables["RELEASE_DISTRIBUTION"] = "sname";
  CHECK(machine.read().node == "chat@tower");  // RELEASE_NAME
  CHECK(machine.read("node: {name: chat@box}").node == "chat@box");
  CHECK_THROWS_AS(machine.read("node: {name: chat@10.0.0.1}"), config_error);
}

TEST_CASE("a node that is told not to be distributed has no name") {
  machine machine;
  machine.variables["RELEASE_DISTRIBUTION"] = "none";
  CHECK(machine.read("node: {name: chat@127.0.0.1}").node.empty());
}

TEST_CASE("names that cannot be are refused by the one who gave them") {
  machine machine;
  CHECK_THROWS_WITH_AS(
      machine.read("node:\n  name: a@b@c"),
      "expected node.name (conf/chat.yaml:2) to be NAME@HOST, got a@b@c", config_error);
  for (auto* name : {"../etc@host", "@host", "a@", "a b@c", "a/b@c"}) {
    CAPTURE(name);
    machine.variables["RELEASE_NODE"] = name;
    CHECK_THROWS_AS(machine.read(), config_error);
  }
  machine.variables["RELEASE_NODE"] = "";
  machine.variables["RELEASE_DISTRIBUTION"] = "name";
  CHECK_THROWS_WITH_AS(
      machine.read(),
      "expected RELEASE_NODE to be NAME@HOST, as RELEASE_DISTRIBUTION is name, got nothing",
      config_error);
  machine.variables["RELEASE_NAME"] = "../chat";
  CHECK_THROWS_AS(machine.read(), config_error);
}

TEST_CASE("what starts again has the options of what was started") {
  const char* argv[] = {"chat", "daemon", "--heart",        "--config", "my.yaml", "--sname",
                        "left", "--set",  "a.b=[x, \"y\"]", "--set",    "c=1"};
  auto parsed = parse_command_line({"chat", "1.2.3"}, 11, argv);
  auto& line = std::get<command_line>(parsed);
  CHECK(line.what == command::daemon);
  CHECK(line.heart);
  auto again = start_arguments(line);
  std::vector<const char*> next{"chat"};
  for (auto& argument : again) next.push_back(argument.c_str());
  auto reparsed = parse_command_line({"chat", "1.2.3"}, static_cast<int>(next.size()), next.data());
  line.what = command::start;
  line.heart = false;
  CHECK(std::get<command_line>(reparsed) == line);
}
