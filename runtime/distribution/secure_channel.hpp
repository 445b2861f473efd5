// private: what stands between a link and its socket: proves who is at the other end, then encrypts.
//
// Pure: bytes in, bytes out. No sockets, no clocks; the link owns both. Three ways to prove it:
//
//   psk           TLS 1.3 with an external pre-shared key derived from the cookie (RFC 8446, 4.2.11;
//                 RFC 9257): both ends prove that they know it, no certificates to manage. The default.
//   certificates  TLS 1.3, both ends show a certificate of the same authority.
//   none          no encryption: both ends prove by challenge and answer that they know the cookie.
//
//   auto channel = context->client("b@host");
//   auto state = channel->start(to_socket);
//   state = channel->received(bytes, plain, to_socket);     // until established, then for ever
//
// Thread safety: received() and send() may be called by two threads at the same time.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace roost::detail {

enum class link_security { psk, certificates, none };

struct security_options {
  link_security mode = link_security::psk;
  std::string node;  // this node's name, which the other end is told
  /// The cookie for links with a node; nothing: links with it are refused.
  std::function<std::optional<std::string>(std::string_view node)> cookie_for;
  // PEM files, for mode certificates.
  std::string certificate = {};
  std::string key = {};
  std::string authority = {};
};

class secure_channel {
 public:
  enum class state { handshaking, established, failed };

  secure_channel() = default;
  secure_channel(const secure_channel&) = delete;
  secure_channel& operator=(const secure_channel&) = delete;
  virtual ~secure_channel() = default;

  /// Call once. Appends what has to be sent first.
  virtual state start(std::string& to_socket) = 0;

  /// Takes bytes from the socket. Appends decrypted ones to `plain`, and what has to be sent in answer
  /// to `to_socket`, which is to be sent even after a failure. Before `established` nothing is appended
  /// to `plain`.
  virtual state received(
      std::string_view from_socket, std::string& plain, std::string& to_socket) = 0;

  /// Once established: appends the encrypted bytes. Answers false when the channel has failed.
  virtual bool send(std::string_view plain, std::string& to_socket) = 0;

  /// Whether bytes pass unchanged once established, so that the link may leave this out.
  virtual bool passes_through() const noexcept { return false; }

  /// The other end's name as it has said and, except with certificates, proved; empty before
  /// `established`, and with certificates.
  virtual std::string peer() const = 0;

  /// Whether what was proved covers a node of this name.
  virtual bool may_be(std::string_view node) const = 0;

  /// Why it failed, as a sentence for the log; never holds secrets.
  virtual std::string error() const = 0;
};

/// Keys and settings that all channels of a node share.
class security_context {
 public:
  /// Throws config_error or std::runtime_error with a sentence when files cannot be used.
  static std::shared_ptr<security_context> make(security_options options);

  virtual ~security_context() = default;
  virtual std::unique_ptr<secure_channel> client(std::string_view server) = 0;
  virtual std::unique_ptr<secure_channel> server() = 0;
};

}  // namespace roost::detail
