#include "runtime/distribution/cookie.hpp"
#include "runtime/config.hpp"
#include "tests/distribution/certificates.hpp"
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <array>
#include <random>
#include <set>
#include <stdexcept>
#include <vector>

using namespace roost::detail;
using roost::config_error;
using roost::test::directory;

namespace {

mode_t mode_of(const std::string& file) {
  struct stat info {};
  REQUIRE(::stat(file.c_str(), &info) == 0);
  return info.st_mode & 07777;
}

bool is_accepted(std::string_view cookie) {
  try {
    check_cookie(cookie);
    return true;
  } catch (const std::invalid_argument& error) {
    // Whatever it is, it does not get into a log.
    if (cookie.size() >= 5 && cookie != "cookie")
      CHECK(std::string_view(error.what()).find(cookie) == std::string::npos);
    return false;
  }
}

std::string random_text(std::mt19937& random, std::string_view alphabet, std::size_t size) {
  std::uniform_int_distribution<std::size_t> any(0, alphabet.size() - 1);
  std::string result;
  while (result.size() < size) result += alphabet[any(random)];
  return result;
}

std::string repeated(std::string_view text, int times) {
  std::string result;
  while (times-- > 0) result += text;
  return result;
}

/// Runs the function in so many processes at once and returns what each answers.
template <class F>
std::vector<std::string> in_processes(int count, F function) {
  std::array<int, 2> gate{};
  std::array<int, 2> answers{};
  REQUIRE(::pipe(gate.data()) == 0);
  REQUIRE(::pipe(answers.data()) == 0);
  std::vector<pid_t> children;
  for (int i = 0; i < count; ++i) {
    pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      ::close(gate[1]);
      char none = 0;
      static_cast<void>(!::read(gate[0], &none, 1));  // until the gate is closed
      std::string answer;
      try {
        answer = function();
      } catch (const std::exception& error) {
        answer = error.what();
      }
      answer += '\n';
      static_cast<void>(!::write(answers[1], answer.data(), answer.size()));
      ::_exit(0);
    }
    children.push_back(child);
  }
  ::close(gate[0]);
  ::close(answers[1]);
  ::close(gate[1]);  // all start now
  std::string text;
  std::array<char, 4096> block;
  for (ssize_t n; (n = ::read(answers[0], block.data(), block.size())) > 0;)
    text.append(block.data(), static_cast<std::size_t>(n));
  ::close(answers[0]);
  for (auto child : children) CHECK(::waitpid(child, nullptr, 0) == child);
  std::vector<std::string> lines;
  for (std::size_t at = 0, end; (end = text.find('\n', at)) != text.npos; at = end + 1)
    lines.push_back(text.substr(at, end - at));
  return lines;
}

}  // namespace

TEST_CASE("a cookie file is for its owner only") {
  directory place;
  auto file = place.path("COOKIE");
  CHECK(read_cookie(file).empty());
  place.write("COOKIE", "QWERTYUIOP\nanother line\n");
  for (mode_t mode : {0644, 0640, 0604, 0601, 0620}) {
    CAPTURE(mode);
    ::chmod(file.c_str(), mode);
    CHECK_THROWS_AS(read_cookie(file), config_error);
    CHECK_THROWS_AS(read_or_create_cookie(file), config_error);
  }
  ::chmod(file.c_str(), 0640);
  auto sentence = "expected the cookie file " + file +
                  " to be readable by its owner only, got mode 0640; run: chmod 600 '" + file + "'";
  CHECK_THROWS_WITH_AS(read_cookie(file), sentence.c_str(), config_error);
  for (mode_t mode : {0600, 0400}) {
    ::chmod(file.c_str(), mode);
    CHECK(read_cookie(file) == "QWERTYUIOP");
    CHECK(read_or_create_cookie(file) == "QWERTYUIOP");
  }
}

TEST_CASE("a cookie file holds a cookie in its first line") {
  directory place;
  auto written = [&](const std::string& text) {
    auto file = place.write("cookie", text);
    ::chmod(file.c_str(), 0600);
    return read_cookie(file);
  };
  CHECK(written("no_newline") == "no_newline");
  CHECK(written("of windows\r\n") == "of windows");
  CHECK_THROWS_AS(written(""), config_error);
  CHECK_THROWS_AS(written("\nsecond line\n"), config_error);
  CHECK_THROWS_AS(written(std::string(2000, 'x')), config_error);
  CHECK_THROWS_AS(read_cookie(place.path("")), config_error);  // a directory
  auto pipe = place.path("pipe");
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  CHECK_THROWS_AS(read_cookie(pipe), config_error);  // nobody writes to it: this does not wait
}

TEST_CASE("a cookie file is made with mode 0600") {
  directory place;
  auto file = place.path("cookie");
  auto before = ::umask(0);
  auto cookie = read_or_create_cookie(file);
  ::umask(before);
  CHECK(mode_of(file) == 0600);
  CHECK(cookie.size() == 64);
  CHECK(is_accepted(cookie));
  CHECK(read_or_create_cookie(file) == cookie);
  CHECK(read_cookie(file) == cookie);
  CHECK(read_or_create_cookie(place.path("another")) != cookie);
  auto files = std::filesystem::directory_iterator(place.path(""));
  CHECK(std::distance(begin(files), end(files)) == 2);  // nothing is left over
}

TEST_CASE("the cookie file's default is in the home directory") {
  directory place;
  const char* home = std::getenv("HOME");
  std::string before = home != nullptr ? home : "";
  ::setenv("HOME", place.path("").c_str(), 1);
  auto cookie = read_or_create_cookie("");
  CHECK(read_cookie(place.path(".roost.cookie")) == cookie);
  ::setenv("HOME", before.c_str(), 1);
}

TEST_CASE("a cookie file that cannot be made is told of in a sentence") {
  directory place;
  auto file = place.path("no/where/cookie");
  auto sentence =
      "expected the directory of the cookie file " + file + " to be there, got no such directory";
  CHECK_THROWS_WITH_AS(read_or_create_cookie(file), sentence.c_str(), config_error);
  auto link = place.path("link");
  std::filesystem::create_symlink(file, link);
  CHECK_THROWS_AS(read_or_create_cookie(link), config_error);
}

TEST_CASE("nodes that start at the same moment make one cookie file") {
  for (int round = 0; round < 10; ++round) {
    directory place;
    auto file = place.path("cookie");
    auto cookies = in_processes(16, [&] { return read_or_create_cookie(file); });
    CHECK(cookies.size() == 16);
    CHECK(std::set<std::string>(cookies.begin(), cookies.end()).size() == 1);
    CHECK(cookies[0] == read_cookie(file));
    auto files = std::filesystem::directory_iterator(place.path(""));
    CHECK(std::distance(begin(files), end(files)) == 1);
  }
}

TEST_CASE("cookies from a random source are accepted") {
  constexpr std::string_view hexadecimal = "0123456789abcdef";
  constexpr std::string_view base64 =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  constexpr std::string_view base64url =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  constexpr std::string_view base36 = "abcdefghijklmnopqrstuvwxyz0123456789";
  std::mt19937 random(1);
  int refused = 0;
  int taken_for_words = 0;  // those that happen to have hardly a digit
  for (int i = 0; i < 2000; ++i) {
    refused += is_accepted(random_text(random, hexadecimal, 32)) ? 0 : 1;
    refused += is_accepted(random_text(random, hexadecimal, 64)) ? 0 : 1;
    refused += is_accepted(random_text(random, base64, 22) + "==") ? 0 : 1;
    refused += is_accepted(random_text(random, base64url, 22)) ? 0 : 1;
    refused += is_accepted(random_text(random, base64, 43) + "=") ? 0 : 1;
    taken_for_words += is_accepted(random_text(random, base36, 32)) ? 0 : 1;
  }
  CHECK(refused == 0);
  CHECK(taken_for_words < 20);
  CHECK(is_accepted("5E8C0F2A91D47B36A0E9C8D1F3B2746D"));  // hexadecimal digits of the other case
  CHECK(is_accepted("8f14e45f-ceea-467f-a3f5-3c9d7b21e60a"));  // with dashes
  CHECK(is_accepted(random_text(random, "abcdefghijklmnopqrstuvwxyz", 52)));
}

TEST_CASE("cookies that can be guessed are refused") {
  const std::vector<std::string> weak{
      "",
      "secret",
      "hunter2",
      "cookie",
      "QWERTYUIOPASDFGHJKLZ",  // what Erlang's look like: 94 bits at most
      std::string(40, 'a'),
      std::string(4000, 'a'),
      repeated("password", 5),
      repeated("password", 500),
      repeated("Passw0rd!", 20),
      repeated("x7Gk", 40),
      repeated("0123456789abcdef", 4),
      "abcdefghijklmnopqrstuvwxyz0123456789",
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
      "zyxwvutsrqponmlkjihgfedcba9876543210",
      "12345678901234567890123456789012",
      "qwertyuiopasdfghjklzxcvbnm1234567890",
      "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik,9ol.0p;/",
      "correct horse battery staple",
      "CorrectHorseBatteryStaple",
      "correct-horse-battery-staple-1",
      "this is the cookie of our cluster!",
      "00000000000000000000000000000001",
      "31415926535897932384626433832795",  // digits only: 106 bits
      "0123456789abcde",
      "5e8c0f2a91d47b36a0e9c8d1f3b274",  // 30 hexadecimal digits
  };
  for (const auto& cookie : weak) {
    CAPTURE(cookie);
    CAPTURE(cookie_bits(cookie));
    CHECK_FALSE(is_accepted(cookie));
  }
  CHECK_FALSE(is_accepted("5e8c0f2a91d47b36a0e9c8d1f3b2746d\n"));
  CHECK_FALSE(is_accepted("5e8c0f2a91d47b36a0e9c8d1f3b2746d\xc3\xa4"));
  CHECK_THROWS_WITH_AS(
      check_cookie("secret"),
      "expected the cookie to carry at least 128 bits, got one of about 15; make one with: openssl "
      "rand -hex 32",
      std::invalid_argument);
}
