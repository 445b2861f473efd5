#include "runtime/net/http_client.hpp"
#include "tests/net/http_server.hpp"
#include "tests/net/name_server.hpp"
#include <poll.h>
#include <cstdlib>

using namespace roost::net;
using namespace roost::test;

namespace {

std::string failure_of(const http_request& request) {
  try {
    return "no error but " + std::to_string(ask_http(request).status);
  } catch (const http_error& error) {
    return error.what();
  }
}

bool contains(std::string_view text, std::string_view part) { return text.find(part) != text.npos; }

/// How long it takes to fail.
template <class F>
std::chrono::milliseconds duration_of(F&& function) {
  auto begin = std::chrono::steady_clock::now();
  function();
  return std::chrono::ceil<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin);
}

int count_threads() {
  // The thread sanitizer starts one of its own together with the first.
  static const bool begun = (std::thread([] {}).join(), true);
  (void)begun;
  return static_cast<int>(std::distance(fs::directory_iterator("/proc/self/task"), {}));
}
int count_files() {
  return static_cast<int>(std::distance(fs::directory_iterator("/proc/self/fd"), {}));
}

/// Writes that text to whoever has said something, and stays silent.
std::function<void(tcp::socket&)> writes(std::string text, bool then_closes = false) {
  return [=](tcp::socket& socket) {
    char said[4096];
    ::recv(socket.native_handle(), said, sizeof said, 0);
    boost::asio::write(socket, boost::asio::buffer(text));
    if (!then_closes)
      while (::recv(socket.native_handle(), said, sizeof said, 0) > 0) {
      }
  };
}

}  // namespace

TEST_CASE("a request arrives with its method, path, headers and body, and is answered") {
  http_server server([](auto& request) {
    return reply{
        .status = request.method() == boost::beast::http::verb::get ? 200 : 201,
        .body = std::string(request.method_string()) + " " + std::string(request.target()) + " " +
                std::string(request["host"]) + " " + std::string(request["x-token"]) + " " +
                std::string(request["content-length"]) + " " + request.body(),
        .content_type = "text/x-test"};
  });
  auto got = ask_http({.url = server.url("/a/b?c=d"), .headers = {{"x-token", "secret"}}});
  CHECK(got.status == 200);
  CHECK(got.body == "GET /a/b?c=d " + server.address() + " secret  ");
  CHECK(got.header("Content-TYPE") == "text/x-test");
  CHECK(got.header("x-nothing").empty());
  auto put = ask_http({.url = server.url(), .method = http_method::put});
  CHECK(put.body == "PUT / " + server.address() + "  0 ");  // some servers insist on a length
  auto post = ask_http({.url = server.url(), .method = http_method::post, .body = "x=y"});
  CHECK(post.status == 201);
  CHECK(post.body == "POST / " + server.address() + "  3 x=y");
}

TEST_CASE("any status is an answer, and nobody is redirected") {
  for (int status : {204, 302, 404, 503}) {
    http_server server([=](auto&) { return reply{.status = status}; });
    CHECK(ask_http({.url = server.url()}).status == status);
  }
}

TEST_CASE("answers in chunks, or up to the end of the connection, are whole") {
  tcp_server chunked(writes(
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"));
  CHECK(ask_http({.url = "http://" + chunked.address()}).body == "abcde");
  tcp_server until_end(writes("HTTP/1.1 200 OK\r\n\r\nabc", true));
  CHECK(ask_http({.url = "http://" + until_end.address()}).body == "abc");
}

TEST_CASE("urls are taken apart") {
  auto url = parse_http_url("https://kubernetes.default.svc./api?a=b");
  CHECK(url.tls);
  CHECK(url.host == "kubernetes.default.svc.");
  CHECK(url.port == 443);
  CHECK(url.target == "/api?a=b");
  CHECK(url.authority() == "kubernetes.default.svc");
  CHECK(url.without_secrets() == "https://kubernetes.default.svc/api");
  CHECK(parse_http_url("http://[fd00::1]:8080").authority() == "[fd00::1]:8080");
  CHECK(parse_http_url("http://[fd00::1]").host == "fd00::1");
  CHECK(parse_http_url("http://h?a").target == "/?a");
  for (auto* wrong :
       {"", "h", "ftp://h", "http://", "http://:80", "http://h:0", "http://h:70000", "http://h:8x",
        "http://h:", "http://[fd00::1", "http://[h]", "http://[fd00::1]x", "http://h/a b",
        "https://h/\n", "http://h/#a"}) {
    CAPTURE(wrong);
    CHECK_THROWS_AS(parse_http_url(wrong), http_error);
  }
  CHECK(
      failure_of({.url = "http://me:secret@h/"}) ==
      "expected a url to be http://host[:port]/path or https://…, got one with a user");
}

TEST_CASE("what is not letters, digits or -._~ is encoded") {
  CHECK(percent_encoded("aZ09-._~") == "aZ09-._~");
  CHECK(percent_encoded("app=a,b in (c)/+ü") == "app%3Da%2Cb%20in%20%28c%29%2F%2B%C3%BC");
}

TEST_CASE("a header cannot smuggle in another one") {
  CHECK(contains(
      failure_of({.url = "http://127.0.0.1:1", .headers = {{"a", "b\r\nc: secret"}}}),
      "headers of one line each, got one that is not: a"));
}

TEST_CASE("a server proves its name or its address by a certificate") {
  authority trusted, other;
  directory files;
  auto ca = files.write("ca.crt", trusted.pem());
  auto hello = [](auto&) { return reply{.body = "hello"}; };
  http_server good(hello, local_identity(trusted));
  CHECK(ask_http({.url = good.url(), .ca_file = ca}).body == "hello");
  CHECK(good.server_name().empty());  // an address is no name
  auto by_name = "https://localhost:" + std::to_string(good.port());
  CHECK(ask_http({.url = by_name, .ca_file = ca}).body == "hello");
  CHECK(good.server_name() == "localhost");

  auto refusal = [&](const identity& who, std::string_view host = "127.0.0.1") {
    http_server server(hello, who);
    return failure_of(
        {.url = "https://" + std::string(host) + ":" + std::to_string(server.port()),
         .ca_file = ca});
  };
  CHECK(contains(refusal(local_identity(other)), "to prove its name by a certificate, got "));
  CHECK(contains(refusal(trusted.issue({.common_name = "localhost"}), "localhost"), "mismatch"));
  CHECK(contains(
      refusal(trusted.issue({.names = "IP:127.0.0.2,DNS:localhost"})), "IP address mismatch"));
  CHECK(contains(
      refusal(trusted.issue({.common_name = "127.0.0.1", .names = "DNS:127.0.0.1"})), "mismatch"));
  CHECK(contains(refusal(trusted.issue({.names = "DNS:other"}), "localhost"), "hostname mismatch"));
  CHECK(contains(
      refusal(trusted.issue({.names = "IP:127.0.0.1", .days_left = -1})),
      "certificate has expired"));
  http_server plain(hello);
  CHECK(contains(
      failure_of({.url = "https://" + plain.address(), .ca_file = ca}), "to begin with TLS, got"));
  CHECK(contains(
      failure_of({.url = good.url(), .ca_file = files.path("none")}),
      "to be verified by the certificates of " + files.path("none") + ", got"));
}

TEST_CASE("without a file those whom the system trusts may sign") {
  authority trusted;
  directory files;
  http_server server([](auto&) { return reply{}; }, local_identity(trusted));
  CHECK(contains(failure_of({.url = server.url()}), "to prove its name by a certificate"));
  ::setenv("SSL_CERT_FILE", files.write("ca.crt", trusted.pem()).c_str(), 1);
  CHECK(ask_http({.url = server.url()}).status == 200);
  ::unsetenv("SSL_CERT_FILE");
}

TEST_CASE("the deadline holds whatever a server does, and nothing stays behind") {
  auto threads = count_threads();
  auto files = count_files();
  authority trusted;
  auto slow_body = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n";
  auto drips = [&](tcp::socket& socket) {
    boost::asio::write(socket, boost::asio::buffer(std::string(slow_body)));
    for (;;) {
      boost::asio::write(socket, boost::asio::buffer("x", 1));
      std::this_thread::sleep_for(1ms);
    }
  };
  auto reads_nothing = [](tcp::socket& socket) {
    pollfd shut_down{socket.native_handle(), POLLRDHUP, 0};
    ::poll(&shut_down, 1, -1);
  };
  struct trial {
    std::string scheme;
    std::function<void(tcp::socket&)> server;
    std::string body;
    std::string_view expectation;
  };
  for (auto& [scheme, behaviour, body, expectation] : {
           trial{"http://", writes(""), "", "to answer, got no end of it within 600 ms"},
           trial{"http://", writes("HTTP/1.1 200 "), "", "to answer, got no end of it"},
           trial{"http://", writes(slow_body), "", "to answer, got no end of it"},
           trial{"http://", drips, "", "to answer, got no end of it"},
           trial{"https://", writes(""), "", "to begin with TLS, got no end of it"},
           trial{
               "http://", reads_nothing, std::string(std::size_t{16} << 20, 'x'),
               "to take the request, got no end of it"},
       }) {
    tcp_server server(behaviour);
    std::string said;
    auto took = duration_of([&, &scheme = scheme, &body = body] {
      said = failure_of(
          {.url = scheme + server.address() + "/a?secret",
           .method = http_method::post,
           .body = body,
           .timeout = 600ms});
    });
    CAPTURE(said);
    CHECK(
        contains(said, "expected " + scheme + server.address() + "/a " + std::string(expectation)));
    CHECK(took >= 590ms);
    CHECK(took < 3s);
    // Who reads nothing does not see the end either.
    if (body.empty()) CHECK(eventually([&] { return server.open() == 0; }));
  }
  CHECK(eventually([&] { return count_threads() == threads; }));  // joined, but not yet gone
  CHECK(count_files() == files);
}

TEST_CASE("the deadline holds when name servers are silent") {
  auto threads = count_threads();
  udp_socket silent;
  std::string said;
  auto took = duration_of([&] {
    said = failure_of(
        {.url = "http://nobody.test.:80/",
         .timeout = 300ms,
         .name_server = "127.0.0.1:" + std::to_string(silent.port())});
  });
  CAPTURE(said);
  CHECK(contains(said, "expected the host nobody.test. to have an address, got silence"));
  CHECK(took < 2s);
  CHECK(eventually([&] { return count_threads() == threads; }));  // joined, but not yet gone
}

TEST_CASE_FIXTURE(dnsmasq, "names are looked up, and each address is tried") {
  http_server service([](auto& request) { return reply{.body = std::string(request["host"])}; });
  hosts({"127.0.0.2 app.test", "127.0.0.1 app.test"});  // nobody listens at the first
  auto authority = "app.test:" + std::to_string(service.port());
  CHECK(eventually([&] {
    try {
      return ask_http({.url = "http://" + authority, .name_server = server()}).body == authority;
    } catch (const http_error&) {
      return false;
    }
  }));
  CHECK(contains(
      failure_of({.url = "http://nobody.test", .name_server = server()}),
      "expected the host nobody.test to have an address, got none"));
}

TEST_CASE("nobody at the port is told as such") {
  std::uint16_t port = tcp_server([](auto&) {}).port();
  auto said = failure_of({.url = "http://127.0.0.1:" + std::to_string(port)});
  CAPTURE(said);
  CHECK(contains(said, "to take a connection, got Connection refused"));
}

TEST_CASE("answers that are too large, cut off or no HTTP are errors") {
  auto said_about = [](const std::string& text) {
    tcp_server server(writes(text, true));
    return failure_of({.url = "http://" + server.address(), .max_headers = 1000, .max_body = 1000});
  };
  CHECK(contains(
      said_about("HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n"),
      "a body of more than 1000 bytes"));
  CHECK(contains(
      said_about("HTTP/1.1 200 OK\r\n\r\n" + std::string(1001, 'x')),
      "a body of more than 1000 bytes"));
  CHECK(contains(
      said_about(
          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7fffffff\r\n" +
          std::string(1001, 'x')),
      "a body of more than 1000 bytes"));
  CHECK(contains(
      said_about("HTTP/1.1 200 OK\r\na: " + std::string(1001, 'x') + "\r\n\r\n"),
      "headers of more than 1000 bytes"));
  CHECK(contains(
      said_about("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"), "an answer that is cut off"));
  CHECK(contains(said_about(""), "a closed connection"));
  CHECK(contains(said_about("220 smtp.example.com ESMTP\r\n\r\n"), "to answer, got "));
}
