// runtime/config.hpp
//
// Typed configuration: one YAML file, `--set dotted.key=value` overrides from the command line, and
// environment variables inside values. A program reads each key once, by its dotted name and with
// its type; a wrong value stops it at the start with one sentence that says what was expected, what
// was found and where. Every key that is read counts as known, so check_unknown() finds the typos.
//
//   # conf/chat.yaml
//   endpoint:
//     http: {ip: 127.0.0.1, port: "${PORT:4000}"}   # the variable PORT, or 4000
//     secret_key_base: ${SECRET_KEY_BASE}           # must be set, or the program does not start
//     check_origin: [//example.com, //*.example.com]
//   socket:
//     timeout: 60s                                  # ms, s, m, h, d, infinity; 60000 is the same
//     max_frame_size: 64KiB                         # B, KB (1000), KiB (1024), …
//
//   auto conf = roost::config::load_file("conf/chat.yaml", {"endpoint.http.port=4001"});
//   auto http = conf.section("endpoint.http");
//   auto port = http.get_in<int>("port", 4000, 1, 65535);
//   auto idle = conf.get<std::chrono::milliseconds>("socket.timeout", 60s);
//   conf.check_unknown();   // …, got htpp (conf/chat.yaml:3); did you mean http?
//
// Keys: names joined by dots; a number picks an item of a list (`webhooks.0.url`). A key with an
// empty value (`port:`, or `--set port=`) is absent, so its default holds.
// Variables: `${NAME}` and `${NAME:default}` or `${NAME:-default}`, anywhere in a value, read once
// while loading. An unset or empty variable takes the default. `$${` writes a plain `${`.
// Errors: every function throws config_error, which reads
//   expected endpoint.http.port to be 1–65535, got 70000 (conf/chat.yaml:7)
//   expected endpoint.http.port to be 1–65535, got 70000 (--set endpoint.http.port=70000)
// and hides values whose key looks like a secret.
// Thread safety: const members may be called from any thread. A copy or a section shares values and
// known keys; apply_override changes only the object that it is called on.
// Source: Elixir's Config and Application.get_env, which roost reads from YAML.
#pragma once
#include <chrono>
#include <concepts>
#include <cstdint>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace roost {

class config_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// What a key holds, for options of more than one type such as check_origin.
enum class config_kind { absent, boolean, number, text, list, map };

/// A number of bytes, written as 4096, 64KB (64,000) or 64KiB (65,536).
struct byte_size {
  std::uint64_t bytes = 0;
  friend bool operator==(byte_size, byte_size) = default;
};

template <class T>
concept config_integer = std::integral<T> && !std::same_as<T, bool>;

/// Lists may also be written as one text with commas, which suits --set and variables. A duration
/// without a unit is in milliseconds; `infinity` is milliseconds::max(). Durations and sizes are
/// never negative. Integers reach up to 2^63-1.
template <class T>
concept config_value = config_integer<T> || std::same_as<T, bool> || std::same_as<T, double> ||
    std::same_as<T, std::string> || std::same_as<T, std::vector<std::string>> ||
    std::same_as<T, std::chrono::milliseconds> || std::same_as<T, byte_size>;

/// Whether a variable that is unset and has no default is an error, or makes its key absent: for
/// programs that only need a few keys and run where the variables of the others are not set.
enum class config_variables { required, optional };

class config {
 public:
  config();  // without keys: every read answers its default

  /// Reads a file, applies the overrides in order, then puts the variables in.
  static config load_file(
      const std::string& path, const std::vector<std::string>& overrides = {},
      config_variables variables = config_variables::required);

  /// As load_file; `name` is what errors call the text.
  static config from_text(
      std::string_view text, std::string name, const std::vector<std::string>& overrides = {},
      config_variables variables = config_variables::required);

  /// Sets one key from `dotted.key=value`; the value is YAML: `4001`, `true`, `[a, b]`. Call it
  /// before taking sections, which keep the values they were taken with.
  void apply_override(std::string_view assignment);

  /// The value of `key`, or `fallback` if it is absent. Throws if it has another type.
  template <config_value T>
  T get(std::string_view key, T fallback) const {
    T value{};
    return read(key, value) ? value : fallback;
  }

  /// The value of `key`; throws if it is absent.
  template <config_value T>
  T require(std::string_view key) const {
    T value{};
    if (!read(key, value)) throw error(key, "set");
    return value;
  }

  /// As get, for an integer that has to lie between `min` and `max`, both allowed.
  template <config_integer T>
  T get_in(std::string_view key, T fallback, T min, T max) const {
    std::int64_t value = 0;
    bool found = read_integer(key, value, signed_limit(min), signed_limit(max));
    return found ? static_cast<T>(value) : fallback;
  }

  config_kind kind(std::string_view key) const;
  bool has(std::string_view key) const { return kind(key) != config_kind::absent; }

  /// A view in which keys are relative to `key`. An absent section has no keys; a value or a list
  /// in its place throws.
  config section(std::string_view key) const;

  std::size_t size(std::string_view key) const;               // items of a list or a section
  std::vector<std::string> keys(std::string_view key) const;  // names in a section, in file order

  /// Everything below `key` is free-form and counts as known.
  void allow_section(std::string_view key) const;

  /// The keys of this view that nobody has read or allowed, in full, in file order.
  std::vector<std::string> unknown_keys() const;

  /// Throws for the first unknown key, naming the closest key known in its section.
  void check_unknown() const;

  /// Where `key` was written: `conf/chat.yaml:7` or `--set a.b=c`; the file's name if it is absent.
  std::string where(std::string_view key) const;

  /// The error for a value that only its reader can judge, to throw:
  /// `throw conf.error("tls.cert", "a readable PEM file")`.
  config_error error(std::string_view key, std::string_view expectation) const;

 private:
  struct source;

  config(std::shared_ptr<source> source, std::string prefix);

  template <config_integer T>
  static constexpr std::int64_t signed_limit(T limit) {
    constexpr auto highest = std::numeric_limits<std::int64_t>::max();
    return std::cmp_greater(limit, highest) ? highest : static_cast<std::int64_t>(limit);
  }

  template <config_integer T>
  bool read(std::string_view key, T& value) const {
    std::int64_t number = 0;
    bool found = read_integer(
        key, number, signed_limit(std::numeric_limits<T>::min()),
        signed_limit(std::numeric_limits<T>::max()));
    value = static_cast<T>(number);
    return found;
  }

  // Each answers false and leaves `value` alone if the key is absent.
  bool read_integer(
      std::string_view key, std::int64_t& value, std::int64_t min, std::int64_t max) const;
  bool read(std::string_view key, bool& value) const;
  bool read(std::string_view key, double& value) const;
  bool read(std::string_view key, std::string& value) const;
  bool read(std::string_view key, std::vector<std::string>& value) const;
  bool read(std::string_view key, std::chrono::milliseconds& value) const;
  bool read(std::string_view key, byte_size& value) const;

  std::string full_key(std::string_view key) const;

  std::shared_ptr<source> source_;
  std::string prefix_;
};

/// The configuration of this program, as Application.get_env reads it: empty until run_application
/// sets it, once, before any process starts.
const config& application_config();
void set_application_config(config config);

}  // namespace roost
