// runtime/discovery/ec2_tags.hpp
//
// The nodes are the running EC2 instances that have a tag: app@10.0.0.1, app@10.0.0.2, …
// libcluster_ec2's ClusterEC2.Strategy.Tags.
//
//   std::make_shared<roost::discovery::ec2_tags>(
//       roost::discovery::ec2_tags::options{.ec2_tagname = "cluster", .ec2_tagvalue = "chat"});
//
// Who asks needs the right ec2:DescribeInstances; docs/discovery.md has the policy. Credentials are
// those in AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or else those of the
// instance's role, which are asked for anew five minutes before they expire. A look fails when EC2
// or the metadata service cannot be asked or refuses, so that the last answer holds.
#pragma once
#include "runtime/discovery/strategy.hpp"

namespace roost::discovery {

class ec2_tags final : public strategy {
 public:
  enum class address { private_ip, public_ip, private_dns };

  struct options {
    std::string ec2_tagname;         // required
    std::string ec2_tagvalue = {};   // * and ? match others; empty: that of this instance's own tag
    std::string app_prefix = "app";  // the part before @
    address ip_type = address::private_ip;
    std::chrono::milliseconds polling_interval{5000};
    std::string region = {};    // empty: that of this instance
    std::string endpoint = {};  // url; empty: https://ec2.<region>.amazonaws.com
    std::string metadata_endpoint = "http://169.254.169.254";
    std::chrono::milliseconds timeout{5000};  // of each question
  };

  /// Throws std::invalid_argument for options that are wrong.
  explicit ec2_tags(options options);
  ~ec2_tags() override;
  std::string_view name() const noexcept override { return "ec2_tags"; }
  std::vector<std::string> look() override;
  std::chrono::milliseconds interval() const noexcept override;

 private:
  class client;
  std::unique_ptr<client> client_;
};

}  // namespace roost::discovery
