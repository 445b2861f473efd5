#include "channels/transport/static_files.hpp"
#include "tests/distribution/certificates.hpp"

namespace {

using namespace roost;
using namespace roost::detail;

struct site {
  test::directory files;
  std::string root = files.path("");

  site() {
    files.write("index.html", "<p>hello");
    files.write("app.js", "let a = 1");
    files.write("app.js.gz", "gzipped");
    files.write("app.js.br", "brotlied");
    files.write(".secret", "secret");
  }

  std::optional<static_answer> ask(static_request request) const {
    return static_file(root, request);
  }
};

std::string header(const static_answer& answer, std::string_view wanted) {
  for (auto& [name, value] : answer.response.headers)
    if (name == wanted) return value;
  return "";
}

}  // namespace

TEST_CASE_FIXTURE(site, "a directory is its index.html") {
  auto answer = ask({.path = "/"});
  REQUIRE(answer);
  CHECK(answer->response.status == 200);
  CHECK(answer->response.content_type == "text/html; charset=utf-8");
  CHECK(answer->file.left == 8);
}

TEST_CASE_FIXTURE(site, "nobody reads what is hidden or outside") {
  for (auto path :
       {"/.secret", "/../etc/passwd", "/%2e%2e/etc/passwd", "/a/../../x", "/%2E%2e%2fx",
        "/index.html%00", "/missing", "/%zz", "index.html", ""}) {
    CAPTURE(path);
    CHECK_FALSE(ask({.path = path}));
  }
}

TEST_CASE_FIXTURE(site, "a client that has the file is told so") {
  auto tag = header(*ask({.path = "/index.html"}), "etag");
  REQUIRE(tag.size() > 4);
  for (auto& known : {tag, "W/" + tag, "\"other\", " + tag, std::string("*")}) {
    CAPTURE(known);
    auto answer = ask({.path = "/index.html", .if_none_match = known});
    CHECK(answer->response.status == 304);
    CHECK(answer->file.left == 0);
  }
  CHECK(ask({.path = "/index.html", .if_none_match = "\"other\""})->response.status == 200);
}

TEST_CASE_FIXTURE(site, "a changed file has another tag") {
  auto before = header(*ask({.path = "/index.html"}), "etag");
  files.write("index.html", "<p>hello, again");
  CHECK(header(*ask({.path = "/index.html"}), "etag") != before);
}

TEST_CASE_FIXTURE(site, "what is compressed already is sent to those who take it") {
  auto encoding = [&](std::string_view accepted) {
    return header(*ask({.path = "/app.js", .accept_encoding = accepted}), "content-encoding");
  };
  CHECK(encoding("gzip, deflate, br") == "br");
  CHECK(encoding("gzip") == "gzip");
  CHECK(encoding("gzip;q=0.5") == "gzip");
  CHECK(encoding("gzip;q=0") == "");
  CHECK(encoding("") == "");
  auto answer = ask({.path = "/app.js", .accept_encoding = "br"});
  CHECK(answer->response.content_type == "text/javascript; charset=utf-8");
  CHECK(header(*answer, "vary") == "accept-encoding");
  CHECK(header(*answer, "etag") != header(*ask({.path = "/app.js"}), "etag"));
}

TEST_CASE_FIXTURE(site, "digested names hold for a year, others are asked for again") {
  CHECK(header(*ask({.path = "/app.js"}), "cache-control") == "public, no-cache");
  CHECK(
      header(*ask({.path = "/app.js", .query = "vsn=d"}), "cache-control") ==
      "public, max-age=31536000");
}

TEST_CASE_FIXTURE(site, "a part of a file") {
  auto range = [&](std::string_view text) {
    auto answer = *ask({.path = "/app.js", .range = text});  // 9 bytes
    return std::to_string(answer.response.status) + " " + header(answer, "content-range") + " " +
           std::to_string(answer.file.left);
  };
  CHECK(range("bytes=0-3") == "206 bytes 0-3/9 4");
  CHECK(range("bytes=4-") == "206 bytes 4-8/9 5");
  CHECK(range("bytes=-2") == "206 bytes 7-8/9 2");
  CHECK(range("bytes=-20") == "206 bytes 0-8/9 9");
  CHECK(range("bytes=5-100") == "206 bytes 5-8/9 4");
  CHECK(range("bytes=9-") == "416 bytes */9 0");
  CHECK(range("bytes=3-1") == "200  9");
  CHECK(range("bytes=0-1,3-4") == "200  9");
  CHECK(range("lines=1") == "200  9");
}
