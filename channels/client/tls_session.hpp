// private: TLS 1.2 or newer over a socket that does not block, for a client that wants the server
// to prove its name.
//
//   tls_session tls(tls_settings(ca_file, true), fd, "example.com");
//   auto done = tls.shake_hands();                  // again when the socket is ready, if blocked
//   auto got = tls.read(buffer);
//
// Thread safety: settings may be shared, a session belongs to one thread. Source: RFC 9525.
#pragma once
#include <memory>
#include <span>
#include <string>
#include <string_view>

struct ssl_ctx_st;
struct ssl_st;

namespace roost::detail {

struct stream_result {
  enum outcome { done, blocked, ended, failed };

  outcome what = done;
  std::size_t count = 0;  // bytes
  std::string reason = {};
  bool wants_to_write = false;  // blocked until the socket takes more, not until something comes
};

/// What all clients with the same ca_file share. Throws std::invalid_argument if it cannot be read.
std::shared_ptr<ssl_ctx_st> tls_settings(const std::string& ca_file, bool verify);

class tls_session {
 public:
  /// Throws std::runtime_error for a host that no certificate can name.
  tls_session(ssl_ctx_st& settings, int fd, const std::string& host, bool verify);

  stream_result shake_hands();
  stream_result read(std::span<char> buffer);
  stream_result write(std::string_view bytes);
  /// Whether read() has more, though the socket may have nothing.
  bool has_more() const;

 private:
  struct free_session { void operator()(ssl_st* session) const noexcept; };

  stream_result result_of(int returned, std::string_view what);

  std::unique_ptr<ssl_st, free_session> session_;
};

}  // namespace roost::detail
