// private: what stands between a link and its socket: proves who is at the other end, then
// encrypts.
//
// Pure: bytes in, bytes out. No sockets, no clocks; the link owns both. Three ways to prove it:
//
//   psk           TLS 1.3 with an external pre-shared key derived from the cookie (RFC
//   8446, 4.2.11;
//                 RFC 9257): both ends prove that they know it, no certificates to manage. The
//                 default.
//   certificates  TLS 1.3, both ends show a certificate of the same authority.
//   none          no encryption: both ends prove by challenge and answer that they know the cookie.
//
//   auto channel = context->client("b@host");
//   auto state = channel->start(to_socket);
//   state = channel->received(bytes, plain, to_socket);     // until established, then for ever
//
// What is proved. With psk and none: the other end knows the cookie that this node has for the name
// it goes by, and it goes by that name: the key is derived from the cookie and the names of both
// ends, so a client that looks for b@host does not get through to c@host, and what a node sends
// cannot be turned back to it as if it came from another (RFC 9257, section 4.1). It is no more
// than that: who knows a cookie may go by any name that the cookie is for, so only nodes that have
// cookies of their own are told apart. With certificates: the other end has the key of a
// certificate that the authority has signed, which covers the nodes that may_be() accepts: one
// whose full name stands in the certificate (URI, DNS or, where it has neither, common name), or
// all whose host does. Mode none proves this for the moment of the handshake only: who can change
// what passes between the two may do so afterwards.
//
// Names of nodes and, in certificates, of hosts are to be seen by those who listen. A client with a
// certificate that its server does not accept is `established` for a moment and then fails, since
// in TLS 1.3 the client is done first.
//
// Thread safety: received() and send() may be called by two threads at the same time; what
// received() gave before `established` is to be sent first. `cookie_for` and `warn` are called by
// whichever thread makes or feeds a channel.
#pragma once
#include <cstdint>
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
  std::function<std::optional<std::string>(std::string_view node)> cookie_for = {};
  // PEM files, for mode certificates. New channels use them as they are then; those that cannot be
  // used are warned of, and channels go on with those before.
  std::string certificate = {};  // this node's, and those between it and the authority's
  std::string key = {};
  std::string authority = {};
  std::function<void(const std::string& sentence)> warn = {};
  /// A TLS key encrypts so many records, of up to 16 KiB each, before the next one takes over.
  /// AES-GCM is good for 24 million (RFC 8446, section 5.5).
  std::uint64_t records_per_key = 1u << 22;
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

  /// Takes bytes from the socket. Appends decrypted ones to `plain`, and what has to be sent in
  /// answer to `to_socket`, which is to be sent even after a failure. Before `established` nothing
  /// is appended to `plain`.
  virtual state received(
      std::string_view from_socket, std::string& plain, std::string& to_socket) = 0;

  /// Once established: appends the encrypted bytes. Answers false when the channel is not, or has
  /// failed.
  virtual bool send(std::string_view plain, std::string& to_socket) = 0;

  /// Says goodbye, where there is a way to: appends what tells the other end that nothing was cut
  /// off. Nothing can be sent afterwards.
  virtual void close(std::string& to_socket) { static_cast<void>(to_socket); }

  /// Whether it failed because the other end has said goodbye.
  virtual bool closed() const noexcept { return false; }

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
  /// Throws config_error with a sentence when files cannot be used, std::invalid_argument when the
  /// options are wrong otherwise.
  static std::shared_ptr<security_context> make(security_options options);

  virtual ~security_context() = default;
  virtual std::unique_ptr<secure_channel> client(std::string_view server) = 0;
  virtual std::unique_ptr<secure_channel> server() = 0;

  // Thread safety: any thread.
};

}  // namespace roost::detail
