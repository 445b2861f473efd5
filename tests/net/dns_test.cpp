#include "runtime/net/dns.hpp"
#include "tests/net/name_server.hpp"
#include <algorithm>
#include <random>
#include <set>

using namespace roost::net;
using namespace roost::test;
using names = std::vector<std::string>;

namespace {

names hosts_of(const dns_answer& answer) {
  names hosts;
  for (auto& record : answer.records) hosts.push_back(record.host);
  std::sort(hosts.begin(), hosts.end());
  return hosts;
}

std::string failure_of(const dns_question& question) {
  try {
    ask_dns(question);
  } catch (const dns_error& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace

TEST_CASE_FIXTURE(
    dnsmasq, "addresses of both families are found, and change while the server runs") {
  dns_question a{.name = "app.test", .server = server()};
  dns_question aaaa{.name = "app.test", .type = dns_type::aaaa, .server = server()};
  hosts({"10.0.0.1 app.test", "10.0.0.2 app.test", "fd00::1 app.test"});
  CHECK(eventually([&] { return hosts_of(ask_dns(a)) == names{"10.0.0.1", "10.0.0.2"}; }));
  CHECK(hosts_of(ask_dns(aaaa)) == names{"fd00::1"});
  hosts({"10.0.0.2 app.test", "10.0.0.3 app.test"});
  CHECK(eventually([&] { return hosts_of(ask_dns(a)) == names{"10.0.0.2", "10.0.0.3"}; }));
  auto none = ask_dns(aaaa);
  CHECK(none.records.empty());
  CHECK(none.name_exists);
}

TEST_CASE_FIXTURE(dnsmasq, "a name that nobody has is an answer") {
  auto answer = ask_dns({.name = "nobody.test", .server = server()});
  CHECK(answer.records.empty());
  CHECK_FALSE(answer.name_exists);
}

TEST_CASE_FIXTURE(dnsmasq, "services have targets, ports, priorities and weights") {
  services({"app.test,one.app.test,4000,10,50", "app.test,two.app.test,4001"});
  auto answer = ask_dns({.name = "app.test", .type = dns_type::srv, .server = server()});
  REQUIRE(answer.records.size() == 2);
  std::sort(answer.records.begin(), answer.records.end(), [](auto& a, auto& b) {
    return a.host < b.host;
  });
  CHECK(answer.records[0].host == "one.app.test");
  CHECK(answer.records[0].port == 4000);
  CHECK(answer.records[0].priority == 10);
  CHECK(answer.records[0].weight == 50);
  CHECK(answer.records[1].host == "two.app.test");
}

TEST_CASE_FIXTURE(dnsmasq, "an answer that is too long for a datagram comes whole") {
  names lines;
  for (int i = 1; i <= 200; ++i) lines.push_back("10.0.1." + std::to_string(i) + " large.test");
  hosts(lines);
  CHECK(eventually(
      [&] { return ask_dns({.name = "large.test", .server = server()}).records.size() == 200; }));
}

TEST_CASE_FIXTURE(dnsmasq, "a server that refuses, or is not there, cannot tell") {
  CHECK(
      failure_of({.name = "example.com.", .server = server()}) ==
      "expected " + server() +
          " to answer about example.com. (A), got a refusal, a failure or nobody there");
  stop();
  auto begin = std::chrono::steady_clock::now();
  CHECK(
      failure_of({.name = "app.test.", .server = server()}) ==
      "expected " + server() +
          " to answer about app.test. (A), got a refusal, a failure or nobody there");
  CHECK(std::chrono::steady_clock::now() - begin < 6s);
}

TEST_CASE_FIXTURE(dnsmasq, "a server that is silent is waited for until the deadline") {
  signal(SIGSTOP);
  auto begin = std::chrono::steady_clock::now();
  CHECK(
      failure_of({.name = "app.test.", .server = server(), .timeout = 300ms}) ==
      "expected " + server() + " to answer about app.test. (A), got silence");
  auto took = std::chrono::steady_clock::now() - begin;
  CHECK(took >= 250ms);
  CHECK(took < 5s);
  signal(SIGCONT);
}

TEST_CASE_FIXTURE(dnsmasq, "short names are looked for in the search domains of resolv.conf") {
  auto file = (directory() / "resolv.conf").string();
  std::ofstream(file) << "search first.test default.svc.cluster.local\noptions ndots:5\n";
  dns_question short_name{.name = "myapp-headless", .server = server(), .resolv_conf = file};
  hosts({"10.0.0.1 myapp-headless.default.svc.cluster.local", "10.0.0.9 whole.test"});
  CHECK(eventually([&] { return hosts_of(ask_dns(short_name)) == names{"10.0.0.1"}; }));
  CHECK(
      hosts_of(ask_dns({.name = "whole.test.", .server = server(), .resolv_conf = file})) ==
      names{"10.0.0.9"});
  CHECK(
      hosts_of(ask_dns({.name = "whole.test", .server = server(), .resolv_conf = file})) ==
      names{"10.0.0.9"});
}

TEST_CASE_FIXTURE(
    dnsmasq, "a search domain that cannot be asked is no proof that nobody is there") {
  auto file = (directory() / "resolv.conf").string();
  std::ofstream(file) << "search example.com test\n";  // the first is refused
  dns_question question{.name = "app", .server = server(), .resolv_conf = file};
  CHECK(failure_of(question).find("a refusal") != std::string::npos);
  hosts({"10.0.0.1 app.test"});
  CHECK(eventually([&] {
    return failure_of(question) == "no error" && hosts_of(ask_dns(question)) == names{"10.0.0.1"};
  }));
}

TEST_CASE("a server that is broken cannot tell") {
  odd_name_server broken([](auto question) { return reply_to(question, 2); });
  CHECK(
      failure_of({.name = "app.test.", .server = broken.server()})
          .find("to answer about app.test. (A), got ") != std::string::npos);
}

TEST_CASE("an SRV record without a target names nobody") {
  // Type, class, time to live, length; priority, weight, port, target `.`
  std::string record("\0\x21\0\1\0\0\0\0\0\7\0\0\0\0\0\0\0", 17);
  odd_name_server server([&](auto question) { return reply_to(question, 0, {record}); });
  auto answer = ask_dns({.name = "app.test.", .type = dns_type::srv, .server = server.server()});
  CHECK(answer.records.empty());
  CHECK(answer.name_exists);
}

TEST_CASE("answers that make no sense end in an error or in nothing, in time") {
  std::minstd_rand random(5);
  odd_name_server server([&](std::string question) {
    auto answer = reply_to(question, 0, {std::string("\0\1\0\1\0\0\0\0\0\4\x0a\0\0\1", 14)});
    if (random() % 4 == 0) answer.resize(random() % answer.size());
    for (auto changes = random() % 4; changes > 0 && answer.size() > 2; --changes)
      answer[2 + random() % (answer.size() - 2)] = static_cast<char>(random());
    return answer;
  });
  auto begin = std::chrono::steady_clock::now();
  int answered = 0;
  for (int i = 0; i < 40; ++i)
    answered +=
        failure_of({.name = "app.test.", .server = server.server(), .timeout = 50ms}) == "no error";
  CHECK(answered > 0);
  CHECK(std::chrono::steady_clock::now() - begin < 20s);
}

TEST_CASE("names and servers that are none are refused with a sentence") {
  CHECK(
      failure_of({.name = ""}) == "expected the name in a question to be that of a host, got none");
  CHECK(
      failure_of({.name = std::string("a\0b", 3)}).starts_with("expected the name in a question"));
  CHECK(failure_of({.name = std::string(300, 'x') + ".test.", .server = "127.0.0.1:1"})
            .starts_with("expected 127.0.0.1:1 to answer about"));
  CHECK(failure_of({.name = "a.test.", .server = "nowhere"})
            .starts_with("expected the server nowhere to be address:port"));
}

TEST_CASE_FIXTURE(dnsmasq, "many threads may ask at once") {
  hosts({"10.0.0.1 app.test"});
  CHECK(eventually(
      [&] { return !ask_dns({.name = "app.test.", .server = server()}).records.empty(); }));
  std::atomic<int> good = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i)
    threads.emplace_back([&] {
      for (int n = 0; n < 20; ++n)
        if (ask_dns({.name = "app.test.", .server = server()}).records.size() == 1) ++good;
    });
  for (auto& thread : threads) thread.join();
  CHECK(good == 160);
}
