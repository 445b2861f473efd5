#include "runtime/discovery/aws_signature.hpp"
#include <doctest/doctest.h>
#include <ctime>

using namespace roost::discovery;

namespace {

const aws_credentials example{"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"};

/// 2015-08-30 12:36:00, the time of all of AWS's examples.
aws_request example_request() {
  return {
      .method = "GET",
      .host = "example.amazonaws.com",
      .region = "us-east-1",
      .service = "service",
      .time = std::chrono::system_clock::from_time_t(1'440'938'160)};
}

std::string authorization(const std::string& signed_headers, const std::string& signature) {
  return "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
         "SignedHeaders=" +
         signed_headers + ", Signature=" + signature;
}

std::string header(const roost::net::http_headers& headers, std::string_view name) {
  for (auto& [known, value] : headers)
    if (known == name) return value;
  return "none";
}

}  // namespace

// AWS's Signature Version 4 test suite, by the names that its cases have there.

TEST_CASE("get-vanilla") {
  auto headers = sign_aws(example_request(), example);
  CHECK(header(headers, "x-amz-date") == "20150830T123600Z");
  CHECK(
      header(headers, "authorization") ==
      authorization(
          "host;x-amz-date", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"));
  CHECK(headers.size() == 2);
}

TEST_CASE("get-vanilla-query-order-key-case") {
  auto request = example_request();
  request.query = {{"Param2", "value2"}, {"Param1", "value1"}};
  CHECK(
      header(sign_aws(request, example), "authorization") ==
      authorization(
          "host;x-amz-date", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"));
}

TEST_CASE("post-vanilla") {
  auto request = example_request();
  request.method = "POST";
  CHECK(
      header(sign_aws(request, example), "authorization") ==
      authorization(
          "host;x-amz-date", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"));
}

TEST_CASE("post-x-www-form-urlencoded") {
  auto request = example_request();
  request.method = "POST";
  request.headers = {{"content-type", "application/x-www-form-urlencoded"}};
  request.body = form_of({{"Param1", "value1"}});
  CHECK(
      header(sign_aws(request, example), "authorization") ==
      authorization(
          "content-type;host;x-amz-date",
          "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"));
}

TEST_CASE("the example of AWS's documentation is signed as there") {
  auto request = example_request();
  request.host = "iam.amazonaws.com";
  request.service = "iam";
  request.query = {{"Version", "2010-05-08"}, {"Action", "ListUsers"}};
  request.headers = {{"content-type", "application/x-www-form-urlencoded; charset=utf-8"}};
  CHECK(
      header(sign_aws(request, example), "authorization") ==
      "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, "
      "SignedHeaders=content-type;host;x-amz-date, "
      "Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7");
}

TEST_CASE("the token of a session is sent and signed") {
  auto session = example;
  session.session_token = "token";
  auto headers = sign_aws(example_request(), session);
  CHECK(header(headers, "x-amz-security-token") == "token");
  auto authorization = header(headers, "authorization");
  CHECK(
      authorization.find("SignedHeaders=host;x-amz-date;x-amz-security-token,") !=
      authorization.npos);
  session.session_token = "another";
  CHECK(header(sign_aws(example_request(), session), "authorization") != authorization);
}

TEST_CASE("forms are encoded") {
  CHECK(form_of({}).empty());
  CHECK(form_of({{"a b", "c&d"}, {"e", ""}}) == "a%20b=c%26d&e=");
}
