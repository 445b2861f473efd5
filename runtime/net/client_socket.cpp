#include "runtime/net/client_socket.hpp"
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <sys/socket.h>
#include <cerrno>

namespace roost::net {

namespace asio = boost::asio;
namespace ssl = boost::asio::ssl;
using boost::system::error_code;
using tcp = asio::ip::tcp;

bool is_address(const std::string& host) {
  error_code error;
  asio::ip::make_address(host, error);
  return !error;
}

error_code open_socket(tcp::socket& socket, const tcp& protocol) {
  error_code error;
  socket.close(error);
  auto fd = ::socket(protocol.family(), SOCK_STREAM | SOCK_CLOEXEC, protocol.protocol());
  if (fd < 0) return {errno, boost::system::system_category()};
  socket.assign(protocol, fd, error);
  return error;
}

ssl::context tls_client(const std::string& ca_file, error_code& error) {
  ssl::context settings(ssl::context::tls_client);
  SSL_CTX_set_min_proto_version(settings.native_handle(), TLS1_2_VERSION);
  settings.set_verify_mode(ssl::verify_peer, error);
  if (ca_file.empty())
    settings.set_default_verify_paths(error);
  else
    settings.load_verify_file(ca_file, error);
  return settings;
}

bool expect_host(SSL* handle, const std::string& host) {
  auto* rules = SSL_get0_param(handle);
  X509_VERIFY_PARAM_set_hostflags(
      rules, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  if (is_address(host)) return X509_VERIFY_PARAM_set1_ip_asc(rules, host.c_str()) == 1;
  return X509_VERIFY_PARAM_set1_host(rules, host.data(), host.size()) == 1 &&
         SSL_set_tlsext_host_name(handle, host.c_str()) == 1;
}

}  // namespace roost::net
