// private: what the API of EC2 answers, as far as discovery needs it.
//
//   for (auto& instance : roost::discovery::read_instances(body).instances) …
//
// Pure. Thread safety: any thread. Source: Amazon EC2 API Reference 2016-11-15, DescribeInstances
// and "Error codes".
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace roost::discovery {

struct ec2_instance {
  std::string id;
  std::string private_ip;  // this and the next two are empty if there is none
  std::string public_ip;
  std::string private_dns;
  std::map<std::string, std::string> tags;
};

struct ec2_page {
  std::vector<ec2_instance> instances;
  std::string next_token;  // empty: this is the last page
};

struct ec2_error {
  std::string code;  // empty: it is none that can be read
  std::string message;
};

/// Throws std::runtime_error when it is no answer of DescribeInstances.
ec2_page read_instances(std::string_view xml);

/// The first error in a refusal.
ec2_error read_ec2_error(std::string_view xml);

}  // namespace roost::discovery
