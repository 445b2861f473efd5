// The endpoint as a server of HTTP: requests, limits, files, unix sockets.
#include "runtime/telemetry.hpp"
#include "tests/channels/endpoint_fixtures.hpp"
#include "tests/distribution/certificates.hpp"

using namespace roost;
using namespace roost::test;

TEST_CASE_FIXTURE(
    endpoint_server, "one connection carries many requests, also those sent at once") {
  start({.routes = {get("/hello/:name", [](const http_request& request) {
           return http_response{.body = "hello " + std::string(*request.parameters["name"])};
         })}});
  http_connection connection(port);
  for (auto name : {"a", "b"}) {
    auto answer = connection.get("/hello/" + std::string(name));
    CHECK(answer.status == 200);
    CHECK(answer.body == "hello " + std::string(name));
  }
  std::string many;
  for (int i = 0; i < 200; ++i)
    many += "GET /hello/" + std::to_string(i) + " HTTP/1.1\r\nhost: x\r\n\r\n";
  connection.send(many);
  for (int i = 0; i < 200; ++i) CHECK(connection.answer().body == "hello " + std::to_string(i));
  CHECK(connection.request("POST", "/hello/a").status == 404);
  CHECK(connection.request("HEAD", "/hello/a").body.empty());
  CHECK(connection.get("/hello/a", "connection: close\r\n").headers["connection"] == "close");
  CHECK(connection.ends());
}

TEST_CASE_FIXTURE(endpoint_server, "a handler that throws costs its request only") {
  log_capture log;
  std::mutex mutex;
  std::vector<std::string> events;
  for (auto name :
       {"phoenix.endpoint.stop", "phoenix.router_dispatch.exception", "phoenix.error_rendered"})
    telemetry::attach(
        name, name,
        [&](std::string_view event, const telemetry::values&, const telemetry::values& about) {
          std::lock_guard guard{mutex};
          events.push_back(std::string(event) + " " + about["status"].to_string());
        });
  start({.routes = {post("/boom", [](const http_request&) -> http_response {
           throw std::runtime_error("boom");
         })}});
  http_connection connection(port);
  auto answer = connection.request("POST", "/boom", "x");
  CHECK(answer.status == 500);
  CHECK(answer.body == R"({"errors":{"detail":"Internal Server Error"}})");
  CHECK(connection.get("/nothing").status == 404);
  for (auto name :
       {"phoenix.endpoint.stop", "phoenix.router_dispatch.exception", "phoenix.error_rendered"})
    telemetry::detach(name);
  std::vector<std::string> expected{
      "phoenix.error_rendered 500", "phoenix.router_dispatch.exception 500",
      "phoenix.endpoint.stop 500", "phoenix.error_rendered 404", "phoenix.endpoint.stop 404"};
  CHECK((events == expected));
}

TEST_CASE_FIXTURE(endpoint_server, "bodies and headers have limits, and requests a time") {
  start(
      {.routes = {post(
           "/size",
           [](const http_request& request) {
             return http_response{.body = std::to_string(request.body.size())};
           })},
       .limits = {.request_timeout = 300ms, .max_header = 2000, .max_body = 1000}});
  CHECK(http_connection(port).request("POST", "/size", std::string(1000, 'x')).body == "1000");
  CHECK(http_connection(port).request("POST", "/size", std::string(1001, 'x')).status == 413);
  CHECK(http_connection(port).get("/", "x: " + std::string(3000, 'x') + "\r\n").status == 431);
  http_connection chunked(port);
  chunked.send("POST /size HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n");
  chunked.send("400\r\n" + std::string(1024, 'x') + "\r\n");
  CHECK(chunked.answer().status == 413);
  http_connection slow(port);
  slow.send("GET / HTTP/1.1\r\nhost: x\r\n");
  CHECK(slow.ends());
  CHECK(endpoint::statistics().slow_handshakes >= 1);
}

TEST_CASE_FIXTURE(endpoint_server, "a header of a response cannot smuggle in another") {
  start({.routes = {get("/x", [](const http_request& request) {
           return http_response{.headers = {{"location", std::string(*request.query["to"])}}};
         })}});
  auto answer = http_connection(port).get("/x?to=a%0d%0aset-cookie:%20evil");
  CHECK(answer.status == 200);
  CHECK(answer.headers.count("set-cookie") == 0);
  CHECK(http_connection(port).get("/x?to=fine").headers["location"] == "fine");
}

TEST_CASE_FIXTURE(
    endpoint_server, "a large file is sent piece by piece, to several who read slowly") {
  directory files;
  std::string large(9'000'000, 'x');
  for (std::size_t i = 0; i < large.size(); i += 1000)
    large[i] = static_cast<char>('a' + i / 1000 % 26);
  files.write("large.bin", large);
  start({.static_files = files.path("")});
  http_connection one(port), other(port);
  one.send_request("GET", "/large.bin");
  other.send_request("GET", "/large.bin", "", "range: bytes=1000-1999\r\n");
  CHECK(other.answer().body == large.substr(1000, 1000));
  CHECK(one.answer().body == large);
  CHECK(one.get("/large.bin", "range: bytes=-10\r\n").body == large.substr(large.size() - 10));
}

TEST_CASE_FIXTURE(endpoint_server, "a unix socket, whose file goes with it") {
  directory files;
  auto path = files.path("http.sock");
  start({.http = {.ip = "unix:" + path}, .routes = {get("/who", [](const http_request& request) {
                                           return http_response{
                                               .body = "[" + request.peer_address + "]"};
                                         })}});
  http_connection connection(path);
  CHECK(connection.get("/who").body == "[]");
  // Who may open the file is trusted as a balancer.
  CHECK(connection.get("/who", "x-forwarded-for: 1.2.3.4\r\n").body == "[1.2.3.4]");
  roost::stop(top).get();
  CHECK_FALSE(std::filesystem::exists(path));
}
