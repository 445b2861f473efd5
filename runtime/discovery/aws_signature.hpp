// private: signs requests to the web services of AWS.
//
//   aws_request request{.host = "ec2.eu-central-1.amazonaws.com", .body = "Action=…", …};
//   auto headers = roost::discovery::sign_aws(request, credentials);   // to be sent with it
//
// Pure: the caller says what time it is, which may be wrong by five minutes. The path is always /.
//
// Thread safety: any thread. Source: AWS Signature Version 4, "Create a signed AWS API request".
#pragma once
#include "runtime/net/http_client.hpp"
#include <chrono>
#include <string>
#include <utility>
#include <vector>

namespace roost::discovery {

struct aws_credentials {
  std::string access_key_id;
  std::string secret_access_key;
  std::string session_token = {};  // of those that expire
};

using aws_parameters = std::vector<std::pair<std::string, std::string>>;

struct aws_request {
  std::string method = "POST";
  std::string host = {};           // as in the header of that name
  aws_parameters query = {};       // not encoded yet, in any order
  net::http_headers headers = {};  // to be signed besides, with names in small letters
  std::string body = {};
  std::string region = {};
  std::string service = {};  // as in ec2
  std::chrono::system_clock::time_point time = {};
};

/// The headers that prove who asks: x-amz-date, authorization and, with a session,
/// x-amz-security-token.
net::http_headers sign_aws(const aws_request& request, const aws_credentials& credentials);

/// name=value&…, encoded, in the order given.
std::string form_of(const aws_parameters& parameters);

}  // namespace roost::discovery
