// private: asks the domain name system: A, AAAA and SRV records, by c-ares.
//
//   auto answer = roost::net::ask_dns({.name = "app.example.com", .type = dns_type::a});
//   for (auto& record : answer.records) …           // record.host is "10.0.0.7"
//
// The name is looked for as the host's /etc/resolv.conf says: in its search domains too, unless it
// ends with a dot. That nobody has the name, and that it has no record of this type, are answers. A
// server that is silent, refuses or is broken is a dns_error, also when it is only one of several
// search domains that cannot be asked: the name might be in it.
//
// Thread safety: any thread; it blocks until the deadline at most. Source: RFC 1035, RFC 2782,
// resolv.conf(5).
#pragma once
#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace roost::net {

enum class dns_type { a, aaaa, srv };

struct dns_question {
  std::string name;
  dns_type type = dns_type::a;
  std::string server = {};  // address:port or [address]:port; empty: those of resolv_conf
  std::string resolv_conf =
      "/etc/resolv.conf";                   // for search domains, also with a server of its own
  std::chrono::milliseconds timeout{5000};  // for all of it
};

struct dns_record {
  std::string host;  // the address as text, or the target of an SRV record without its last dot
  std::uint16_t port = 0;  // of SRV records, as the next two
  std::uint16_t priority = 0;
  std::uint16_t weight = 0;
};

struct dns_answer {
  bool name_exists = true;
  std::vector<dns_record> records;  // in the order of the answer
};

class dns_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Throws dns_error with a sentence when nobody can tell.
dns_answer ask_dns(const dns_question& question);

/// The addresses of a host, of both families whatever the question's type, in the order in which
/// to try them: from /etc/hosts, or from the name servers. An address is its own. Throws dns_error
/// also when there are none.
std::vector<std::string> addresses_of(const dns_question& question);

}  // namespace roost::net
