// private: the nodes behind names in the domain name system, for the strategies that ask it.
//
// Each question keeps its last good answer: when A records can be had and AAAA records cannot, the
// nodes of the latter are not forgotten. look() fails when a question is not answered and no other
// one finds anybody.
//
// Thread safety: one thread at a time.
#pragma once
#include "runtime/net/dns.hpp"
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace roost::discovery {

/// As written in a configuration: a, aaaa, srv. Throws std::invalid_argument.
std::vector<net::dns_type> to_dns_types(const std::vector<std::string>& names);

class dns_nodes {
 public:
  struct options {
    std::vector<std::string> names;  // to ask for
    std::vector<net::dns_type> types;
    std::string basename;                     // of nodes: basename@host
    std::string server = {};                  // as in net::dns_question
    std::chrono::milliseconds timeout{5000};  // for each question
  };

  dns_nodes(std::string_view strategy, options options);

  /// Throws net::dns_error.
  std::vector<std::string> look();

 private:
  using question = std::pair<std::string, net::dns_type>;

  net::dns_answer ask(const question& question);
  std::vector<std::string> nodes() const;
  void tell_missing(const std::string& name, bool missing);
  void tell_partial(std::string error);

  std::string strategy_;
  options options_;
  std::map<question, std::vector<std::string>> last_;
  std::map<std::string, bool> missing_;  // by name; what was logged last, as is the next one
  std::string partial_;
};

}  // namespace roost::discovery
