// private: asks a web service once, by HTTP/1.1 or HTTPS.
//
//   auto answer = roost::net::ask_http({
//       .url = "https://10.0.0.1:6443/api/v1/namespaces/default/endpoints",
//       .headers = {{"authorization", "Bearer " + token}},
//       .ca_file = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"});
//   if (answer.status == 200) read(answer.body);
//
// Each request has a connection of its own. Any status is an answer; redirects are not followed,
// and there are no proxies. A server has to prove its name or address by a certificate of TLS 1.2
// or newer.
//
// Errors: http_error, which reads "expected <url> to …, got …" with the url up to its query, since
// a query may hold secrets as headers and bodies do. Thread safety: any thread; it blocks until the
// timeout at most. Source: RFC 9110, RFC 9112, RFC 9525.
#pragma once
#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace roost::net {

enum class http_method { get, post, put };

using http_headers = std::vector<std::pair<std::string, std::string>>;

struct http_request {
  std::string url;  // required: http:// or https://, without a user or a fragment
  http_method method = http_method::get;
  http_headers headers = {};  // besides host, connection, user-agent and content-length
  std::string body = {};
  std::string ca_file = {};  // PEM, of those who may sign the server's certificate; empty: system's
  std::chrono::milliseconds timeout{15'000};  // for all of it, from the name to the last byte
  std::size_t max_headers = std::size_t{64} << 10;
  std::size_t max_body = std::size_t{16} << 20;
  std::string name_server = {};  // address:port; empty: those of /etc/resolv.conf
};

struct http_response {
  int status = 0;  // 100–999
  http_headers headers;
  std::string body;

  /// The first header of that name, in any case; empty if there is none.
  std::string_view header(std::string_view name) const noexcept;
};

class http_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct http_url {
  bool tls = false;
  std::string host;         // without brackets
  std::uint16_t port = 80;  // 443 with TLS
  std::string target;       // from the path on; at least /

  /// As the header `host` has it: host:port, without a port that is the scheme's.
  std::string authority() const;
  /// Without its query.
  std::string without_secrets() const;
};

/// Throws http_error.
http_url parse_http_url(std::string_view url);

/// Throws http_error when there is no whole answer.
http_response ask_http(const http_request& request);

/// All but letters, digits and -._~ as %XX (RFC 3986, section 2.3).
std::string percent_encoded(std::string_view text);

}  // namespace roost::net
