#include "runtime/discovery/hosts_file.hpp"
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <optional>
#include <stdexcept>

namespace roost::discovery {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view file_name = ".hosts.erlang";
constexpr std::uintmax_t largest_file = 1 << 20;
constexpr std::size_t hosts_at_once = 16;

/// Erlang terms as such files have them: 'atom'. atom. "string". and comments.
class reader {
 public:
  explicit reader(std::string_view text) : text_(text) {}

  std::optional<std::string> next() {
    skip_blanks();
    if (at_ == text_.size()) return std::nullopt;
    auto host = peek() == '\'' || peek() == '"' ? quoted() : plain();
    skip_blanks();
    // A full stop ends a term only before a blank or a comment.
    bool stops = peek() == '.' &&
                 (at_ + 1 == text_.size() || is_blank(text_[at_ + 1]) || text_[at_ + 1] == '%');
    if (!stops) fail("a full stop after the host " + host);
    ++at_;
    return host;
  }

 private:
  static bool is_blank(char c) { return static_cast<unsigned char>(c) <= ' '; }
  static bool is_name(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '@';
  }
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  void skip_blanks() {
    while (at_ < text_.size() && (peek() == '%' || is_blank(peek())))
      at_ = peek() == '%' ? std::min(text_.find('\n', at_), text_.size()) : at_ + 1;
  }

  std::string quoted() {
    char quote = text_[at_++];
    auto end = text_.find(quote, at_);
    auto host = std::string(text_.substr(at_, end == text_.npos ? end : end - at_));
    bool odd = host.empty() || host.size() > 253 ||
               std::any_of(host.begin(), host.end(), [](char c) { return is_blank(c); });
    if (end == text_.npos || odd || host.find('\\') != host.npos) fail("the name of a host");
    at_ = end + 1;
    return host;
  }

  std::string plain() {
    auto begin = at_;
    if (peek() < 'a' || peek() > 'z') fail("the name of a host, 'in.quotes'");
    while (is_name(peek())) ++at_;
    return std::string(text_.substr(begin, at_ - begin));
  }

  [[noreturn]] void fail(const std::string& expectation) const {
    auto line = 1 + std::count(text_.begin(), text_.begin() + static_cast<long>(at_), '\n');
    auto rest = text_.substr(at_, text_.find('\n', at_) - at_);
    throw std::runtime_error(
        "expected " + expectation + ", got " +
        (rest.empty() ? std::string("nothing") : std::string(rest.substr(0, 60))) + " (line " +
        std::to_string(line) + ")");
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

std::vector<std::string> standard_directories() {
  std::vector<std::string> directories{"."};
  for (auto* variable : {"HOME", "RELEASE_ROOT"})
    if (auto* value = std::getenv(variable); value != nullptr && *value != '\0')
      directories.emplace_back(value);
  return directories;
}

std::string read_file(const fs::path& path) {
  std::ifstream file(path);
  std::error_code error;
  if (fs::file_size(path, error) > largest_file || error || !file)
    throw std::runtime_error(
        "expected to read " + path.string() + ", got a file that is too large or may not be read");
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::string> hosts_in(const std::vector<std::string>& directories) {
  std::string searched;
  for (auto& directory : directories) {
    auto path = fs::path(directory) / file_name;
    std::error_code error;
    if (!fs::exists(path, error)) {
      searched += (searched.empty() ? "" : ", ") + directory;
      continue;
    }
    try {
      return parse_hosts(read_file(path));
    } catch (const std::runtime_error& wrong) {
      throw std::runtime_error(path.string() + ": " + wrong.what());
    }
  }
  throw std::runtime_error(
      "expected a file " + std::string(file_name) + " in " + searched + ", got none");
}

struct host_answer {
  std::string host;
  std::vector<std::string> names;
  std::string error;
};

host_answer ask(const bindings& node, const std::string& host) {
  try {
    return {host, node.names(host), {}};
  } catch (const std::exception& error) {
    return {host, {}, error.what()};
  }
}

std::vector<host_answer> ask_all(const bindings& node, const std::vector<std::string>& hosts) {
  std::vector<host_answer> answers;
  for (std::size_t first = 0; first < hosts.size(); first += hosts_at_once) {
    std::vector<std::future<host_answer>> asked;
    for (auto i = first; i < std::min(hosts.size(), first + hosts_at_once); ++i)
      asked.push_back(std::async(std::launch::async, [&, i] { return ask(node, hosts[i]); }));
    for (auto& each : asked) answers.push_back(each.get());
  }
  return answers;
}

}  // namespace

std::vector<std::string> parse_hosts(std::string_view text) {
  std::vector<std::string> hosts;
  reader reader(text);
  while (auto host = reader.next()) hosts.push_back(std::move(*host));
  return hosts;
}

hosts_file::hosts_file(options options, bindings node)
    : options_(std::move(options)), node_(std::move(node)) {}

std::vector<std::string> hosts_file::look() {
  auto hosts =
      hosts_in(options_.directories.empty() ? standard_directories() : options_.directories);
  std::vector<std::string> nodes;
  std::string error;
  bool answered = hosts.empty();
  for (auto& answer : ask_all(node_, hosts)) {
    answered = answered || answer.error.empty();
    if (error.empty()) error = answer.error;
    for (auto& name : answer.names) nodes.push_back(name + "@" + answer.host);
  }
  if (!answered) throw std::runtime_error(error);
  return nodes;
}

}  // namespace roost::discovery
