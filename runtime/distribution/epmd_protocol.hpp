// private: the protocol of EPMD, the Erlang port mapper daemon, and the table behind its answers.
//
// Pure: bytes in, bytes out. No sockets, no clocks. One connection carries one request; the
// connection of a registration stays open, and its end is the end of the registration.
//
//   epmd::server server({.name = "a", .port = 40001}, 4369, random);
//   epmd::request request;
//   if (epmd::decode_request(bytes, request) == epmd::progress::complete)
//     auto reply = server.answer({.connection = 7, .is_local = true}, request);
//
// What an answer to a registration looks like depends on the asker's version: before 6 a creation
// has two bits, since then it has 32. Requests that could harm others (kill, stop, dump) are
// refused.
//
// Thread safety: one thread at a time. Source: Erlang's distribution protocol, chapter "EPMD
// Protocol".
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace roost::detail {

/// What a port mapper knows about a node.
struct port_entry {
  std::string name;  // the part before @
  std::uint16_t port = 0;
  std::uint8_t node_type = 72;  // 77: visible, 72: hidden
  std::string extra = {};
  std::uint16_t highest_version = 6;  // of Erlang's distribution; 6 since OTP 23
  std::uint16_t lowest_version = 5;

  bool operator==(const port_entry&) const = default;
};

namespace epmd {

constexpr std::size_t longest_name = 255;   // bytes
constexpr std::size_t longest_extra = 255;  // bytes
/// What the longest request, which is a registration, takes with its length.
constexpr std::size_t longest_request = 2 + 13 + longest_name + longest_extra;
/// What a lookup's answer takes at most.
constexpr std::size_t longest_lookup_answer = 14 + longest_name + longest_extra;

enum class progress { complete, incomplete, malformed };

/// Whether a port mapper takes this name: 1 to 255 bytes of UTF-8 without blanks and control
/// characters, which would break the lines of a list.
bool is_name(std::string_view name) noexcept;

// --- requests ------------------------------------------------------------------------------------

struct register_request { port_entry entry; };
struct lookup_request { std::string name; };
struct names_request {};
struct refused_request {
  char code;  // k: end yourself, s: drop a name, d: tell all
};
using request = std::variant<register_request, lookup_request, names_request, refused_request>;

/// Throws std::invalid_argument for a name or an extra that is too long.
std::string encode_register(const port_entry& entry);
std::string encode_lookup(std::string_view name);
std::string encode_names();

/// Reads the request at the beginning of `bytes`; what follows it is ignored, as by Erlang's epmd.
progress decode_request(std::string_view bytes, request& result);

// --- answers -------------------------------------------------------------------------------------

struct registration {
  bool accepted = false;
  std::uint32_t creation = 0;
};
std::string encode_registration(const registration& answer, std::uint16_t highest_version);
progress decode_registration(std::string_view bytes, registration& answer);

/// nullptr: there is no such name.
std::string encode_lookup_answer(const port_entry* entry);
progress decode_lookup_answer(std::string_view bytes, std::optional<port_entry>& answer);

/// Reads all that came until the end of the connection; lines that are no entry are left out. Only
/// name and port are known.
progress decode_names_answer(std::string_view bytes, std::vector<port_entry>& answer);

// --- the server ----------------------------------------------------------------------------------

/// Who has registered, and what to answer. It knows its own node from the beginning.
class server {
 public:
  using connection_id = std::uint64_t;  // 0 is the server's own node

  struct peer {
    connection_id connection;
    bool is_local;  // only those on this host may register
  };

  struct reply {
    enum class next {
      close,  // once the bytes have been sent
      keep,   // the connection is a registration from now on
      relay,  // ask the port mapper of this host
    };
    std::string bytes = {};
    next then = next::close;
  };

  /// `random` makes creations: any number.
  server(port_entry own, std::uint16_t epmd_port, std::function<std::uint32_t()> random);

  /// Whether this is the port mapper of its host. One that is not answers for its own node only.
  void is_primary(bool yes) noexcept { is_primary_ = yes; }

  reply answer(const peer& from, const request& request);

  /// The connection has ended, and with it what it has registered.
  void closed(connection_id connection) noexcept;

  std::uint32_t own_creation() const noexcept { return own_creation_; }
  std::size_t size() const noexcept { return entries_.size(); }

  /// More registrations are refused.
  static constexpr std::size_t most_entries = 512;

 private:
  struct registered {
    connection_id connection;
    port_entry entry;
  };

  reply answer_to(const peer& from, const register_request& request);
  reply answer_to(const peer& from, const lookup_request& request) const;
  reply answer_to(const peer& from, const names_request&) const;
  reply answer_to(const peer& from, const refused_request& request) const;
  bool add(connection_id connection, const port_entry& entry);
  std::uint32_t new_creation(std::uint16_t highest_version) const;

  std::map<std::string, registered, std::less<>> entries_;
  std::uint16_t epmd_port_;
  std::function<std::uint32_t()> random_;
  std::uint32_t own_creation_;
  bool is_primary_ = false;
};

}  // namespace epmd
}  // namespace roost::detail
