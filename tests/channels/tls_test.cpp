// The endpoint over TLS.
#include "tests/channels/endpoint_fixtures.hpp"
#include "tests/distribution/certificates.hpp"

using namespace roost;
using namespace roost::test;

namespace {

struct certified {
  directory files;
  authority ca;
  std::string certificate = files.path("cert.pem");
  std::string key = files.path("key.pem");

  certified() { renew("first"); }
  void renew(const std::string& name) {
    auto fresh = ca.issue({.common_name = name, .names = "DNS:localhost"});
    files.write("key.pem", fresh.key_pem());
    files.write("cert.pem", fresh.certificate_pem());
  }
};

std::string common_name(X509* certificate) {
  char text[64] = "";
  X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, text, sizeof text);
  return text;
}

}  // namespace

TEST_CASE_FIXTURE(endpoint_server, "HTTP and WebSockets over TLS") {
  certified own;
  directory files;
  std::string large(3'000'000, 'x');
  files.write("large.bin", large);
  start(
      {.https = {.port = 0, .certfile = own.certificate, .keyfile = own.key},
       .static_files = files.path("")});
  http_connection connection(endpoint_https_port());
  connection.start_tls();
  CHECK(connection.get("/nothing").status == 404);
  CHECK(connection.get("/large.bin").body == large);
  connection.send(upgrade(ws));
  CHECK(connection.answer().status == 101);
  std::string frame;
  append_frame(frame, opcode::text, join_line, {.mask = mask_key{'m', 'a', 's', 'k'}});
  connection.send(frame);
  CHECK(eventually([] { return endpoint::statistics().sockets == 1; }));
}

TEST_CASE_FIXTURE(
    endpoint_server, "a renewed certificate is shown to newcomers, without a restart") {
  certified own;
  log_capture log;
  start(
      {.https = {
           .port = 0, .certfile = own.certificate, .keyfile = own.key, .reload_interval = 20ms}});
  auto shown = [] {
    http_connection connection(endpoint_https_port());
    return common_name(connection.start_tls().get());
  };
  http_connection old(endpoint_https_port());
  old.start_tls();
  CHECK(shown() == "first");
  own.renew("second");
  CHECK(eventually([&] { return shown() == "second"; }));
  CHECK(old.get("/").status == 404);
  SUBCASE("one that cannot be used is not") {
    own.files.write("cert.pem", "nonsense");
    CHECK(eventually(
        [&] { return log.saw("", "the new certificate cannot be used, keeping the old one"); }));
    CHECK(shown() == "second");
  }
}

TEST_CASE_FIXTURE(endpoint_server, "a wrong certificate stops the start with one sentence") {
  certified own;
  auto failure = [&](const std::string& certificate, const std::string& key) {
    try {
      (void)endpoint::child_spec(
          {.pub_sub = "test", .https = {.certfile = certificate, .keyfile = key}});
    } catch (const std::invalid_argument& error) {
      return std::string(error.what());
    }
    return std::string("none");
  };
  CHECK(failure(own.certificate, own.key) == "none");
  CHECK(failure("missing.pem", own.key)
            .starts_with("expected https.certfile to be a certificate in PEM, got missing.pem: "));
  CHECK(failure(own.certificate, own.certificate)
            .starts_with("expected https.keyfile to be the private key of "));
  certified other;
  CHECK(failure(own.certificate, other.key).ends_with("key values mismatch"));
}

TEST_CASE_FIXTURE(endpoint_server, "who does not shake hands is sent away") {
  certified own;
  log_capture log;
  start(
      {.https = {.port = 0, .certfile = own.certificate, .keyfile = own.key},
       .limits = {.handshake_timeout = 200ms}});
  http_connection silent(endpoint_https_port());
  CHECK(silent.ends());
  http_connection plain(endpoint_https_port());
  plain.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
  CHECK(plain.ends());
  CHECK(endpoint::statistics().slow_handshakes == 1);
}
