// A region of EC2 as the tests of discovery need it: its API, which checks signatures, and the
// metadata service of one of its instances.
#pragma once
#include "runtime/discovery/ec2_tags.hpp"
#include "tests/net/http_server.hpp"
#include <openssl/evp.h>
#include <cstdlib>
#include <ctime>
#include <map>

namespace roost::test {

using names = std::vector<std::string>;
using fields = std::map<std::string, std::string>;

// --- how AWS checks a signature, written apart from how roost makes one
// -----------------------------

inline std::string hex(const unsigned char* bytes, std::size_t size) {
  std::string text;
  char two[3];
  for (std::size_t i = 0; i < size; ++i) {
    std::snprintf(two, sizeof two, "%02x", bytes[i]);
    text += two;
  }
  return text;
}

inline std::string sha256(const std::string& text) {
  unsigned char digest[32];
  std::size_t size = sizeof digest;
  EVP_Q_digest(nullptr, "SHA256", nullptr, text.data(), text.size(), digest, &size);
  return hex(digest, size);
}

inline std::string hmac(const std::string& key, const std::string& text) {
  unsigned char digest[32];
  std::size_t size = 0;
  EVP_Q_mac(
      nullptr, "HMAC", nullptr, "SHA256", nullptr, key.data(), key.size(),
      reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest, sizeof digest,
      &size);
  return {reinterpret_cast<char*>(digest), size};
}

inline std::string between(const std::string& text, const std::string& start, char end) {
  auto at = text.find(start);
  if (at == text.npos) return {};
  at += start.size();
  return text.substr(at, text.find(end, at) - at);
}

inline names split(const std::string& text, char at) {
  names parts(1);
  for (char c : text)
    if (c == at)
      parts.emplace_back();
    else
      parts.back() += c;
  return parts;
}

/// Of one access key id.
struct aws_key {
  std::string secret;
  std::string session = {};
};

/// Empty, or the code of AWS's error.
inline std::string verify(
    const http_server::request& request, const std::map<std::string, aws_key>& keys) {
  auto authorization = std::string(request["authorization"]);
  auto scope = split(between(authorization, "Credential=", ','), '/');
  if (!authorization.starts_with("AWS4-HMAC-SHA256 ") || scope.size() != 5) return "Incomplete";
  auto known = keys.find(scope[0]);
  if (known == keys.end()) return "AuthFailure";
  if (std::string(request["x-amz-security-token"]) != known->second.session) return "ExpiredToken";
  auto date = std::string(request["x-amz-date"]);
  std::tm parts{};
  auto* end = ::strptime(date.c_str(), "%Y%m%dT%H%M%SZ", &parts);
  if (end == nullptr || *end != '\0' || std::abs(::timegm(&parts) - ::time(nullptr)) > 300)
    return "RequestExpired";
  if (names(scope.begin() + 1, scope.end()) !=
      names{date.substr(0, 8), "eu-central-1", "ec2", "aws4_request"})
    return "SignatureDoesNotMatch";
  auto signed_names = between(authorization, "SignedHeaders=", ',');
  names must{"content-type", "host", "x-amz-date"};
  if (!known->second.session.empty()) must.push_back("x-amz-security-token");
  if (split(signed_names, ';') != must) return "SignatureDoesNotMatch";
  std::string text =
      std::string(request.method_string()) + "\n" + std::string(request.target()) + "\n\n";
  for (auto& name : must) text += name + ":" + std::string(request[name]) + "\n";
  text += "\n" + signed_names + "\n" + sha256(request.body());
  std::string derived = "AWS4" + known->second.secret;
  for (int i = 1; i < 5; ++i) derived = hmac(derived, scope[static_cast<std::size_t>(i)]);
  auto signature = hmac(
      derived, "AWS4-HMAC-SHA256\n" + date + "\n" + scope[1] + "/" + scope[2] + "/" + scope[3] +
                   "/" + scope[4] + "\n" + sha256(text));
  auto expected = hex(reinterpret_cast<const unsigned char*>(signature.data()), signature.size());
  return between(authorization, "Signature=", ',') == expected ? "" : "SignatureDoesNotMatch";
}

inline fields read_form(const std::string& body) {
  fields form;
  for (auto& pair : split(body, '&')) {
    std::string plain;
    for (std::size_t i = 0; i < pair.size(); ++i)
      if (pair[i] == '%') {
        plain += static_cast<char>(std::stoi(pair.substr(i + 1, 2), nullptr, 16));
        i += 2;
      } else {
        plain += pair[i] == '+' ? ' ' : pair[i];
      }
    auto equals = pair.find('=');  // names have nothing that is encoded
    form[plain.substr(0, equals)] = plain.substr(equals + 1);
  }
  return form;
}

// --- a region
// -------------------------------------------------------------------------------------

struct instance {
  std::string id;
  std::string private_ip;
  std::string public_ip = "";
  fields tags = {{"cluster", "chat"}};
  std::string state = "running";
};

/// The API of EC2 in eu-central-1, which the system trusts, and the metadata service of its
/// instance i-1.
class region {
 public:
  region() {
    for (auto* name : {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"})
      ::unsetenv(name);
    ::setenv("SSL_CERT_FILE", files_.write("ca.crt", authority_.pem()).c_str(), 1);
    issue("ROLE1", 60min);
    state_.instances = {{"i-1", "10.0.0.1"}};
  }
  ~region() { ::unsetenv("SSL_CERT_FILE"); }

  struct state {
    std::vector<instance> instances;
    std::map<std::string, aws_key> keys = {{"USER", {"a-secret-to-keep"}}};
    std::string role = "chat-role";
    std::string role_credentials;
    int credentials_given = 0;
    int looks = 0;      // questions about instances that a tag names
    names errors = {};  // what the metadata service did not like
    std::size_t page = 2;
    bool repeats_pages = false;
    std::optional<reply> made_up = {};
    fields last_form = {};
  };

  template <class F>
  auto with(F function) {
    std::lock_guard guard{mutex_};
    return function(state_);
  }

  /// New credentials of the role; those before are taken back.
  void issue(const std::string& id, std::chrono::minutes lifetime) {
    with([&](state& all) {
      all.keys = {{"USER", {"a-secret-to-keep"}}, {id, {"secret-of-" + id, "session-of-" + id}}};
      auto expires = ::time(nullptr) + std::chrono::seconds(lifetime).count();
      char text[32];
      std::tm parts{};
      std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", ::gmtime_r(&expires, &parts));
      all.role_credentials =
          R"({"Code":"Success","AccessKeyId":")" + id + R"(","SecretAccessKey":"secret-of-)" + id +
          R"(","Token":"session-of-)" + id + R"(","Expiration":")" + text + "\"}";
    });
  }

  discovery::ec2_tags::options options() const {
    return {
        .ec2_tagname = "cluster", .endpoint = api_.url(""), .metadata_endpoint = metadata_.url("")};
  }
  std::string endpoint() const { return api_.url("/"); }
  std::string metadata_endpoint() const { return metadata_.url("/"); }

 private:
  static reply refusal(int status, const std::string& code, const std::string& message) {
    return {
        status, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>" +
                    code + "</Code><Message>" + message +
                    "</Message></Error></Errors><RequestID>1</RequestID></Response>"};
  }

  reply answer(const http_server::request& request) {
    std::lock_guard guard{mutex_};
    if (state_.made_up) return *state_.made_up;
    if (auto wrong = verify(request, state_.keys); !wrong.empty())
      return refusal(401, wrong, "AWS was not able to validate the provided &quot;keys&quot;");
    auto form = state_.last_form = read_form(request.body());
    if (form["Action"] != "DescribeInstances" || form["Version"] != "2016-11-15")
      return refusal(400, "InvalidAction", "no such action");
    if (form.contains("InstanceId.1"))
      return form.contains("MaxResults")
                 ? refusal(400, "InvalidParameterCombination", "no pages")
                 : page([&](auto& each) { return each.id == form["InstanceId.1"]; }, 0, SIZE_MAX);
    ++state_.looks;
    auto tag = form["Filter.1.Name"].substr(4);
    return page(
        [&](auto& each) {
          auto found = each.tags.find(tag);
          return found != each.tags.end() && found->second == form["Filter.1.Value.1"] &&
                 form["Filter.2.Name"] == "instance-state-name" &&
                 each.state == form["Filter.2.Value.1"];
        },
        form["NextToken"].empty() ? 0 : std::stoul(form["NextToken"]), state_.page);
  }

  template <class F>
  reply page(F matches, std::size_t from, std::size_t size) const {
    std::string items;
    std::size_t found = 0;
    for (auto& each : state_.instances) {
      if (!matches(each) || found++ < from || found > from + size) continue;
      std::string tags;
      for (auto& [name, value] : each.tags)
        tags += "<item><key>" + name + "</key><value>" + value + "</value></item>";
      items += "<item><reservationId>r</reservationId><groupSet/><instancesSet><item><instanceId>" +
               each.id + "</instanceId><privateDnsName>ip-" + each.id +
               ".ec2.internal</privateDnsName>" +
               (each.private_ip.empty()
                    ? ""
                    : "<privateIpAddress>" + each.private_ip + "</privateIpAddress>") +
               (each.public_ip.empty() ? "" : "<ipAddress>" + each.public_ip + "</ipAddress>") +
               "<tagSet>" + tags +
               "</tagSet><networkInterfaceSet><item><privateIpAddress>192.0.2.1</privateIpAddress>"
               "<tagSet/></item></networkInterfaceSet></item></instancesSet></item>";
    }
    bool is_last = found <= from + size && !state_.repeats_pages;
    auto next = is_last ? "" : "<nextToken>" + std::to_string(from + size) + "</nextToken>";
    return {
        200,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<DescribeInstancesResponse "
        "xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>1</requestId>"
        "<reservationSet>" +
            items + "</reservationSet>" + next + "</DescribeInstancesResponse>"};
  }

  reply tell(const http_server::request& request) {
    std::lock_guard guard{mutex_};
    auto target = std::string(request.target());
    if (target == "/latest/api/token") {
      bool asks = request.method() == boost::beast::http::verb::put &&
                  !request["x-aws-ec2-metadata-token-ttl-seconds"].empty();
      return asks ? reply{200, "metadata-token"} : reply{400};
    }
    if (request["x-aws-ec2-metadata-token"] != "metadata-token") {
      state_.errors.push_back("no token");
      return {401};
    }
    auto roles = std::string("/latest/meta-data/iam/security-credentials/");
    if (target == "/latest/meta-data/instance-id") return {200, "i-1"};
    if (target == "/latest/meta-data/placement/region") return {200, "eu-central-1"};
    if (target == roles && !state_.role.empty()) return {200, state_.role + "\n"};
    if (target == roles + state_.role && !state_.role.empty()) {
      ++state_.credentials_given;
      return {200, state_.role_credentials};
    }
    return {404, "<html>"};
  }

  std::mutex mutex_;
  state state_;
  authority authority_;
  directory files_;
  http_server metadata_{[this](auto& request) { return tell(request); }};
  http_server api_{[this](auto& request) { return answer(request); }, local_identity(authority_)};
};

}  // namespace roost::test
