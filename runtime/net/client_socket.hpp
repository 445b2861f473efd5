// private: what clients that use Asio have in common: a socket that stays ours, and a server that
// proves its name by a certificate of TLS 1.2 or newer (RFC 9525).
#pragma once
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <string>

namespace roost::net {

/// Whether it is an IP address rather than a name.
bool is_address(const std::string& host);

/// Opens it anew. Asio would open it without CLOEXEC, so that programs started meanwhile kept it
/// open.
boost::system::error_code open_socket(
    boost::asio::ip::tcp::socket& socket, const boost::asio::ip::tcp& protocol);

/// `ca_file`: PEM, of those who may sign the server's certificate; empty: those that the system
/// trusts.
boost::asio::ssl::context tls_client(const std::string& ca_file, boost::system::error_code& error);

/// The handshake fails unless the certificate is for this name or address. False: it is neither.
bool expect_host(SSL* handle, const std::string& host);

}  // namespace roost::net
