#include "runtime/discovery/topologies.hpp"
#include "tests/discovery/ec2_region.hpp"

using namespace roost::discovery;
using namespace roost::test;

namespace {

names look(const ec2_tags::options& options) { return ec2_tags(options).look(); }

std::string failure_of(strategy& how) {
  try {
    return "no error but " + std::to_string(how.look().size()) + " nodes";
  } catch (const std::runtime_error& error) {
    return error.what();
  }
}
std::string failure_of(const ec2_tags::options& options) {
  ec2_tags how(options);
  return failure_of(how);
}

bool contains(std::string_view text, std::string_view part) { return text.find(part) != text.npos; }

}  // namespace

TEST_CASE_FIXTURE(region, "ec2_tags finds the running instances that have this one's tag") {
  with([](state& all) {
    all.instances = {
        {"i-1", "10.0.0.1"},
        {"i-2", "10.0.0.2", "192.0.2.2"},
        {"i-3", "10.0.0.3", "", {{"cluster", "other"}}},
        {"i-4", "10.0.0.4", "", {}},
        {"i-5", "10.0.0.5", "", {{"cluster", "chat"}}, "stopped"},
        {"i-6", ""},
        {"i-7", "10.0.0.7", "192.0.2.7"}};
  });
  ec2_tags how(options());
  CHECK(how.name() == "ec2_tags");
  CHECK(how.interval() == 5s);
  CHECK(how.look() == names{"app@10.0.0.1", "app@10.0.0.2", "app@10.0.0.7"});
  with([](state& all) { all.instances.erase(all.instances.begin() + 1); });
  CHECK(how.look() == names{"app@10.0.0.1", "app@10.0.0.7"});
  with([](state& all) { all.instances[0].tags["cluster"] = "other"; });
  CHECK(how.look() == names{"app@10.0.0.1", "app@10.0.0.3"});
  CHECK(with([](state& all) { return all.errors; }).empty());

  auto chosen = options();
  chosen.ec2_tagvalue = "chat";
  chosen.app_prefix = "web";
  chosen.ip_type = ec2_tags::address::public_ip;
  CHECK(look(chosen) == names{"web@192.0.2.7"});
  chosen.ip_type = ec2_tags::address::private_dns;
  CHECK(look(chosen) == names{"web@ip-i-6.ec2.internal", "web@ip-i-7.ec2.internal"});
  chosen.ec2_tagvalue = "nobody";
  CHECK(look(chosen).empty());
}

TEST_CASE_FIXTURE(
    region, "tags may have any characters, and are no patterns when they are one's own") {
  with([](state& all) {
    all.instances = {{"i-1", "10.0.0.1", "", {{"a b:ü/+", "x &amp; y%2A"}}}};
    all.instances.push_back(all.instances[0]);
  });
  auto odd = options();
  odd.ec2_tagname = "a b:ü/+";
  failure_of(odd);  // the server here compares what is escaped, so it finds none
  CHECK(with([](state& all) { return all.last_form; })["Filter.1.Name"] == "tag:a b:ü/+");
  CHECK(with([](state& all) { return all.last_form; })["Filter.1.Value.1"] == "x & y%2A");
  with([](state& all) { all.instances[0].tags = {{"cluster", "what?*\\"}}; });
  failure_of(options());
  CHECK(with([](state& all) { return all.last_form; })["Filter.1.Value.1"] == "what\\?\\*\\\\");
  auto pattern = options();
  pattern.ec2_tagvalue = "chat-*";
  failure_of(pattern);
  CHECK(with([](state& all) { return all.last_form; })["Filter.1.Value.1"] == "chat-*");
}

TEST_CASE_FIXTURE(region, "all pages are read, but not for ever") {
  with([](state& all) {
    for (int i = 2; i <= 7; ++i)
      all.instances.push_back({"i-" + std::to_string(i), "10.0.0." + std::to_string(i)});
  });
  ec2_tags how(options());
  CHECK(how.look().size() == 7);
  CHECK(with([](state& all) { return all.looks; }) == 4);
  with([](state& all) { all.repeats_pages = true; });
  CHECK(failure_of(how) == "expected EC2 to answer with up to 100 pages, got more");
}

TEST_CASE_FIXTURE(region, "credentials of the role are kept until shortly before they expire") {
  ec2_tags how(options());
  auto given = [&] { return with([](state& all) { return all.credentials_given; }); };
  CHECK(how.look().size() == 1);
  CHECK(how.look().size() == 1);
  CHECK(given() == 1);
  issue("ROLE2", 60min);
  CHECK(contains(
      failure_of(how), "expected " + endpoint() +
                           " to answer with 200, got 401: AuthFailure: AWS "
                           "was not able to validate the provided \"keys\""));
  CHECK(how.look().size() == 1);  // with new ones, since the old ones are refused
  CHECK(how.look().size() == 1);
  CHECK(given() == 2);
  issue("ROLE3", 4min);
  failure_of(how);
  CHECK(how.look().size() == 1);
  auto before = given();
  CHECK(how.look().size() == 1);
  CHECK(given() > before);
}

TEST_CASE_FIXTURE(region, "credentials in the environment come first") {
  ::setenv("AWS_ACCESS_KEY_ID", "USER", 1);
  ::setenv("AWS_SECRET_ACCESS_KEY", "a-secret-to-keep", 1);
  ec2_tags how(options());
  CHECK(how.look().size() == 1);
  CHECK(with([](state& all) { return all.credentials_given; }) == 0);
  ::setenv("AWS_SECRET_ACCESS_KEY", "another-secret", 1);
  auto said = failure_of(how);
  CHECK(contains(said, "got 401: SignatureDoesNotMatch"));
  CHECK_FALSE(contains(said, "another-secret"));
  ::setenv("AWS_SECRET_ACCESS_KEY", "a-secret-to-keep", 1);
  ::setenv("AWS_SESSION_TOKEN", "an-old-session", 1);
  said = failure_of(how);
  CHECK(contains(said, "got 401: ExpiredToken"));
  CHECK_FALSE(contains(said, "an-old-session"));
  for (auto* name : {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"})
    ::unsetenv(name);
}

TEST_CASE_FIXTURE(region, "an instance without a role, or without the tag, is told so") {
  with([](state& all) { all.instances[0].tags.clear(); });
  CHECK(failure_of(options()) == "expected this instance, i-1, to have the tag cluster, got none");
  with([](state& all) { all.role.clear(); });
  CHECK(
      failure_of(options()) == "expected " + metadata_endpoint() +
                                   "latest/meta-data/iam/security-credentials/ to answer with 200 "
                                   "and a text, got 404");
  with([](state& all) {
    all.role = "chat-role";
    all.role_credentials = R"({"Code":"Failed","Secret":"a-secret-to-keep"})";
  });
  CHECK(
      failure_of(options()) ==
      "expected the credentials of the role to have AccessKeyId, got none");
  with([](state& all) { all.role_credentials = "a-secret-to-keep"; });
  CHECK(
      failure_of(options()) ==
      "expected the credentials of the role to be JSON, got something else");
}

TEST_CASE_FIXTURE(region, "what is no answer of EC2 is an error, and never nobody") {
  auto known = options();
  known.ec2_tagvalue = "chat";
  auto said_about = [&](int status, const std::string& body) {
    with([&](state& all) { all.made_up = reply{status, body}; });
    return failure_of(known);
  };
  CHECK(said_about(200, "<Other/>") == "expected EC2 to answer with instances, got something else");
  CHECK(said_about(200, "").starts_with("the answer of EC2: expected XML with a root"));
  CHECK(said_about(200, "<DescribeInstancesResponse><reservationSet>")
            .starts_with("the answer of EC2: expected XML with an end of each element"));
  CHECK(said_about(200, "<!DOCTYPE a><DescribeInstancesResponse/>").starts_with("the answer of"));
  CHECK(said_about(503, "<html><br>").ends_with("to answer with 200, got 503"));
  CHECK(said_about(
            500,
            "<Response><Errors><Error><Code>InternalError</Code><Message>A\nB</Message>"
            "</Error></Errors></Response>")
            .ends_with("to answer with 200, got 500: InternalError: A B"));
  with([](state& all) { all.made_up = reply{200, "<DescribeInstancesResponse/>"}; });
  CHECK(look(known).empty());
}

TEST_CASE_FIXTURE(region, "an API that nobody trusts gets no question") {
  authority other;
  directory files;
  ::setenv("SSL_CERT_FILE", files.write("ca.crt", other.pem()).c_str(), 1);
  CHECK(contains(failure_of(options()), "to prove its name by a certificate, got"));
  CHECK(with([](state& all) { return all.last_form; }).empty());
}

TEST_CASE_FIXTURE(region, "a metadata service that nobody runs is an error in time") {
  tcp_server silent([](tcp::socket& socket) {
    char byte;
    while (::recv(socket.native_handle(), &byte, 1, 0) > 0) {
    }
  });
  auto elsewhere = options();
  elsewhere.metadata_endpoint = "http://" + silent.address();
  elsewhere.timeout = 200ms;
  CHECK(
      contains(failure_of(elsewhere), "/latest/api/token to answer, got no end of it within 200"));
}

TEST_CASE("options of ec2_tags that are wrong are refused") {
  CHECK_THROWS_AS(ec2_tags({.ec2_tagname = ""}), std::invalid_argument);
  CHECK_THROWS_AS(ec2_tags({.ec2_tagname = "a", .app_prefix = ""}), std::invalid_argument);
  CHECK_THROWS_AS(ec2_tags({.ec2_tagname = "a", .endpoint = "h"}), std::invalid_argument);
  CHECK_THROWS_WITH_AS(
      ec2_tags({.ec2_tagname = "a", .endpoint = "https://h/path"}),
      "expected endpoint to be a url without a path, got https://h/path", std::invalid_argument);
}

TEST_CASE_FIXTURE(region, "ec2_tags is set up by a configuration") {
  auto conf = roost::config::from_text(
      "cluster:\n"
      "  topologies:\n"
      "    aws:\n"
      "      strategy: ClusterEC2.Strategy.Tags\n"
      "      ec2_tagname: cluster\n"
      "      app_prefix: chat\n"
      "      polling_interval: 10s\n"
      "      endpoint: " +
          endpoint() +
          "\n"
          "      metadata_endpoint: " +
          metadata_endpoint() + "\n",
      "conf/app.yaml");
  auto settings = read_topologies(conf, {});
  conf.check_unknown();
  REQUIRE(settings.topologies.size() == 1);
  CHECK(settings.topologies[0].disconnect_vanished);
  CHECK(settings.topologies[0].how->look() == names{"chat@10.0.0.1"});
}
