#include "runtime/distribution/cookie.hpp"
#include "runtime/config.hpp"
#include <fcntl.h>
#include <openssl/rand.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <iterator>
#include <stdexcept>
#include <vector>

namespace roost::detail {
namespace {

constexpr std::size_t random_bytes = 32;
constexpr std::size_t longest_line = 1024;
constexpr double bits_needed = 128;

[[noreturn]] void wrong(const std::string& what, const std::string& to_be, const std::string& got) {
  throw config_error("expected " + what + " to be " + to_be + ", got " + got);
}

/// An open file, closed at the end.
class descriptor {
 public:
  explicit descriptor(int number) : number_(number) {}
  descriptor(const descriptor&) = delete;
  descriptor& operator=(const descriptor&) = delete;
  ~descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  int number() const { return number_; }
  explicit operator bool() const { return number_ >= 0; }

 private:
  int number_;
};

// --- Reading -------------------------------------------------------------------------------------

void check_access(const descriptor& open, const std::string& file) {
  struct stat info {};
  if (::fstat(open.number(), &info) != 0)
    wrong("the cookie file " + file, "readable", std::strerror(errno));
  if (!S_ISREG(info.st_mode)) wrong("the cookie file " + file, "a file", "something else");
  if ((info.st_mode & 077) == 0) return;
  std::array<char, 8> mode{};
  std::snprintf(mode.data(), mode.size(), "%04o", static_cast<unsigned>(info.st_mode & 07777));
  wrong(
      "the cookie file " + file, "readable by its owner only",
      std::string("mode ") + mode.data() + "; run: chmod 600 '" + file + "'");
}

std::string first_line(const descriptor& open, const std::string& file) {
  std::string text(longest_line + 1, '\0');
  std::size_t size = 0;
  while (size < text.size()) {
    auto count = ::read(open.number(), text.data() + size, text.size() - size);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) wrong("the cookie file " + file, "readable", std::strerror(errno));
    if (count == 0) break;
    size += static_cast<std::size_t>(count);
  }
  text.resize(std::min(size, text.find('\n')));
  if (text.size() > longest_line)
    wrong("the first line of the cookie file " + file, "the cookie", "more than 1024 bytes");
  while (!text.empty() && (text.back() == '\r' || text.back() == ' ')) text.pop_back();
  if (text.empty()) wrong("the first line of the cookie file " + file, "the cookie", "nothing");
  return text;
}

// --- Creating ------------------------------------------------------------------------------------

std::string default_file() {
  const char* home = std::getenv("HOME");
  if (home != nullptr && *home != '\0') return std::string(home) + "/.roost.cookie";
  passwd entry{};
  passwd* found = nullptr;
  std::vector<char> space(16'384);
  if (::getpwuid_r(::geteuid(), &entry, space.data(), space.size(), &found) != 0 ||
      found == nullptr || *found->pw_dir == '\0')
    wrong("HOME", "the user's directory, for .roost.cookie", "nothing; or set node.cookie_file");
  return std::string(found->pw_dir) + "/.roost.cookie";
}

std::string random_cookie() {
  std::array<unsigned char, random_bytes> bytes{};
  if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1)
    throw std::runtime_error("expected the system to give random bytes, got an error");
  constexpr std::string_view digits = "0123456789abcdef";
  std::string result;
  for (unsigned byte : bytes) {
    result += digits[byte >> 4];
    result += digits[byte & 15];
  }
  return result;
}

bool write_all(int number, std::string_view bytes) {
  while (!bytes.empty()) {
    auto count = ::write(number, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
  return true;
}

/// Gives the file its name, unless there is one of this name. Answers 0 or an error.
int name_without_replacing(const char* unnamed, const char* name) {
  if (::link(unnamed, name) == 0) return 0;
  if (errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS) return errno;
  // There are file systems without links.
  return ::renameat2(AT_FDCWD, unnamed, AT_FDCWD, name, RENAME_NOREPLACE) == 0 ? 0 : errno;
}

std::string directory_of(const std::string& file) {
  auto slash = file.rfind('/');
  if (slash == file.npos) return ".";
  return slash == 0 ? "/" : file.substr(0, slash);
}

/// The new name is on the disk as well. Where directories cannot be opened it will be some time.
void sync_directory(const std::string& directory) {
  descriptor open(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (open) ::fsync(open.number());
}

/// Whoever comes second finds the file there and leaves it, so that nobody goes by a cookie that
/// has been replaced, and nobody sees half a cookie.
void create(const std::string& file) {
  const auto directory = directory_of(file);
  std::string temporary = file + ".XXXXXX";
  descriptor open(::mkostemp(temporary.data(), O_CLOEXEC));
  if (!open && (errno == ENOENT || errno == ENOTDIR))
    wrong("the directory of the cookie file " + file, "there", "no such directory");
  if (!open) wrong("the cookie file " + file, "made", std::strerror(errno));
  bool written = ::fchmod(open.number(), 0600) == 0 &&
                 write_all(open.number(), random_cookie() + '\n') && ::fsync(open.number()) == 0;
  int error = written ? name_without_replacing(temporary.c_str(), file.c_str()) : errno;
  ::unlink(temporary.c_str());
  if (error != 0 && error != EEXIST) wrong("the cookie file " + file, "made", std::strerror(error));
  if (error == 0) sync_directory(directory);
}

// --- Counting bits -------------------------------------------------------------------------------

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
bool is_printable(char c) { return c > ' ' && c <= '~'; }
bool is_separator(char c) { return c == ' ' || c == '-' || c == '_' || c == '.' || c == ':'; }
char lowered(char c) { return is_upper(c) ? static_cast<char>(c - 'A' + 'a') : c; }
bool is_hexadecimal(char c) { return is_digit(c) || (lowered(c) >= 'a' && lowered(c) <= 'f'); }

template <class Kind>
std::size_t count(std::string_view text, Kind kind) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), kind));
}

/// Letters of one case with hardly a digit, or of both cases as in CorrectHorseBattery.
bool are_words(std::string_view text) {
  const auto size = text.size();
  const auto digits = count(text, is_digit);
  const auto lower = count(text, is_lower);
  const auto upper = count(text, is_upper);
  if ((lower + upper) * 2 < size) return false;
  if (lower == 0 || upper == 0) return digits * 16 <= size;
  return digits == 0 && (std::max(lower, upper) + count(text, is_separator)) * 6 >= size * 5;
}

struct weighed {
  std::string text;  // what counts of it
  double bits_each;
};

weighed weigh(std::string_view cookie) {
  std::string plain;
  std::copy_if(cookie.begin(), cookie.end(), std::back_inserter(plain), std::not_fn(is_separator));
  const auto digits = count(plain, is_digit);
  const auto lower = count(plain, is_lower);
  const auto upper = count(plain, is_upper);
  const bool has_others = digits + lower + upper != plain.size();
  const bool one_case = lower == 0 || upper == 0;
  if (digits == plain.size()) return {plain, std::log2(10)};
  if (are_words(cookie)) return {plain, 2.5};
  if (one_case && count(plain, is_hexadecimal) == plain.size()) return {plain, 4};
  if (one_case && !has_others) return {plain, std::log2(26 + 10)};
  const bool is_base64 =
      digits + lower + upper + count(plain, [](char c) { return c == '+' || c == '/'; }) ==
      plain.size();
  return {std::string(cookie), is_base64 ? 6 : std::log2(94)};
}

/// Whether three characters stand side by side on a keyboard.
bool is_on_keyboard(std::string_view three) {
  constexpr std::string_view there =
      "1234567890 qwertyuiop asdfghjkl; zxcvbnm,./ 1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik,9ol.0p;/";
  const std::string back(three.rbegin(), three.rend());
  return there.find(three) != there.npos || there.find(back) != there.npos;
}

bool is_guessed(const std::string& text, std::size_t at) {
  if (at < 2) return false;
  if (text[at] - text[at - 1] == text[at - 1] - text[at - 2]) return true;
  const auto three = std::string_view(text).substr(at - 2, 3);
  return text.find(three) < at - 2 || is_on_keyboard(three);
}

}  // namespace

std::string read_cookie(const std::string& file) {
  // Not waiting for whoever writes to a named pipe.
  descriptor open(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!open && (errno == ENOENT || errno == ENOTDIR)) return {};
  if (!open) wrong("the cookie file " + file, "readable", std::strerror(errno));
  check_access(open, file);
  return first_line(open, file);
}

std::string read_or_create_cookie(const std::string& file) {
  const auto name = file.empty() ? default_file() : file;
  auto cookie = read_cookie(name);
  if (!cookie.empty()) return cookie;
  create(name);
  cookie = read_cookie(name);
  if (cookie.empty()) wrong("the cookie file " + name, "made", "a link to nowhere");
  return cookie;
}

double cookie_bits(std::string_view cookie) {
  // More would only take longer to count.
  constexpr std::size_t longest = 512;
  cookie = cookie.substr(0, std::min(longest, cookie.find_last_not_of('=') + 1));
  auto [text, bits_each] = weigh(cookie);
  std::transform(text.begin(), text.end(), text.begin(), lowered);
  std::size_t guessed = 0;
  for (std::size_t at = 0; at < text.size(); ++at) guessed += is_guessed(text, at) ? 1 : 0;
  const auto by_chance = std::min({guessed, text.size() / 4, std::size_t{8}});
  return static_cast<double>(text.size() - guessed + by_chance) * bits_each;
}

void check_cookie(std::string_view cookie) {
  constexpr std::string_view advice = "; make one with: openssl rand -hex 32";
  const auto printable = [](char c) { return is_printable(c) || c == ' '; };
  if (!std::all_of(cookie.begin(), cookie.end(), printable))
    throw std::invalid_argument(
        "expected the cookie to be printable ASCII, got other bytes" + std::string(advice));
  const auto bits = cookie_bits(cookie);
  if (bits < bits_needed)
    throw std::invalid_argument(
        "expected the cookie to carry at least 128 bits, got one of about " +
        std::to_string(std::lround(bits)) + std::string(advice));
}

}  // namespace roost::detail
