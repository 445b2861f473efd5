// private: what an EC2 instance can ask about itself.
//
//   roost::discovery::ec2_metadata here("http://169.254.169.254", std::chrono::seconds(5));
//   here.instance_id();                             // "i-0123456789abcdef0"
//
// Only the second version of the service is spoken, in which a token is asked for first. Every
// function throws std::runtime_error when the service does not answer.
//
// Thread safety: any thread. Source: Amazon EC2 User Guide, "Use the Instance Metadata Service".
#pragma once
#include "runtime/discovery/aws_signature.hpp"
#include <chrono>
#include <string>

namespace roost::discovery {

/// Those of the instance's role.
struct ec2_role_credentials {
  aws_credentials keys;
  std::chrono::system_clock::time_point expiration;
};

class ec2_metadata {
 public:
  ec2_metadata(std::string endpoint, std::chrono::milliseconds timeout)
      : endpoint_(std::move(endpoint)), timeout_(timeout) {}

  std::string instance_id() const { return get("instance-id"); }
  std::string region() const { return get("placement/region"); }
  ec2_role_credentials role_credentials() const;

 private:
  std::string get(const std::string& path) const;
  std::string token() const;

  std::string endpoint_;
  std::chrono::milliseconds timeout_;  // of each question
};

}  // namespace roost::discovery
