#include "runtime/discovery/ec2_tags.hpp"
#include "runtime/discovery/ec2_answer.hpp"
#include "runtime/discovery/ec2_metadata.hpp"
#include <algorithm>
#include <array>
#include <cstdlib>
#include <optional>
#include <stdexcept>

namespace roost::discovery {
namespace {

using std::chrono::system_clock;

constexpr auto renewed_before = std::chrono::minutes(5);
constexpr int most_pages = 100;  // of a thousand instances each
constexpr std::string_view content_type = "application/x-www-form-urlencoded; charset=utf-8";

std::string variable(const char* name) {
  auto* value = std::getenv(name);
  return value != nullptr ? value : "";
}

std::optional<aws_credentials> credentials_of_environment() {
  aws_credentials found{
      .access_key_id = variable("AWS_ACCESS_KEY_ID"),
      .secret_access_key = variable("AWS_SECRET_ACCESS_KEY"),
      .session_token = variable("AWS_SESSION_TOKEN")};
  if (found.access_key_id.empty() || found.secret_access_key.empty()) return std::nullopt;
  return found;
}

/// Values of filters may have wildcards, which those of tags are not.
std::string without_wildcards(const std::string& value) {
  std::string escaped;
  for (char c : value) {
    if (c == '*' || c == '?' || c == '\\') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

bool blames_credentials(std::string_view code) {
  static constexpr std::array<std::string_view, 6> codes{
      "AuthFailure",    "ExpiredToken",         "ExpiredTokenException",
      "RequestExpired", "InvalidClientTokenId", "UnrecognizedClientException"};
  return std::find(codes.begin(), codes.end(), code) != codes.end();
}

void require_url(const std::string& name, const std::string& url) {
  try {
    if (net::parse_http_url(url).target == "/") return;
  } catch (const net::http_error& error) {
    throw std::invalid_argument(name + ": " + error.what());
  }
  throw std::invalid_argument("expected " + name + " to be a url without a path, got " + url);
}

std::string without_slash(std::string url) {
  if (url.ends_with('/')) url.pop_back();
  return url;
}

}  // namespace

class ec2_tags::client {
 public:
  explicit client(options options)
      : options_(std::move(options)),
        metadata_(without_slash(options_.metadata_endpoint), options_.timeout) {}

  const options& settings() const { return options_; }

  std::vector<std::string> look() {
    auto instances = describe(
        {{"MaxResults", "1000"},
         {"Filter.1.Name", "tag:" + options_.ec2_tagname},
         {"Filter.1.Value.1", tag_value()},
         {"Filter.2.Name", "instance-state-name"},
         {"Filter.2.Value.1", "running"}});
    std::vector<std::string> nodes;
    for (auto& instance : instances)
      if (auto& host = host_of(instance); !host.empty())
        nodes.push_back(options_.app_prefix + "@" + host);
    std::sort(nodes.begin(), nodes.end());
    nodes.erase(std::unique(nodes.begin(), nodes.end()), nodes.end());
    return nodes;
  }

 private:
  const std::string& host_of(const ec2_instance& instance) const {
    switch (options_.ip_type) {
      case address::private_ip:
        return instance.private_ip;
      case address::public_ip:
        return instance.public_ip;
      case address::private_dns:
        return instance.private_dns;
    }
    return instance.private_ip;
  }

  /// Asked for at each look, as libcluster_ec2 does: an instance may be given to another cluster.
  std::string tag_value() {
    if (!options_.ec2_tagvalue.empty()) return options_.ec2_tagvalue;
    if (own_id_.empty()) own_id_ = metadata_.instance_id();
    for (auto& instance : describe({{"InstanceId.1", own_id_}})) {
      auto tag = instance.tags.find(options_.ec2_tagname);
      if (instance.id == own_id_ && tag != instance.tags.end())
        return without_wildcards(tag->second);
    }
    throw std::runtime_error(
        "expected this instance, " + own_id_ + ", to have the tag " + options_.ec2_tagname +
        ", got none");
  }

  std::vector<ec2_instance> describe(const aws_parameters& what) {
    std::vector<ec2_instance> all;
    std::string next;
    for (int i = 0; i < most_pages; ++i) {
      auto page = ask(what, next);
      all.insert(
          all.end(), std::make_move_iterator(page.instances.begin()),
          std::make_move_iterator(page.instances.end()));
      next = std::move(page.next_token);
      if (next.empty()) return all;
    }
    throw std::runtime_error("expected EC2 to answer with up to 100 pages, got more");
  }

  ec2_page ask(const aws_parameters& what, const std::string& next) {
    aws_parameters parameters{{"Action", "DescribeInstances"}, {"Version", "2016-11-15"}};
    parameters.insert(parameters.end(), what.begin(), what.end());
    if (!next.empty()) parameters.emplace_back("NextToken", next);
    if (region_.empty()) region_ = options_.region.empty() ? metadata_.region() : options_.region;
    auto url = endpoint();
    aws_request request{
        .host = net::parse_http_url(url).authority(),
        .headers = {{"content-type", std::string(content_type)}},
        .body = form_of(parameters),
        .region = region_,
        .service = "ec2",
        .time = system_clock::now()};
    auto headers = sign_aws(request, credentials());
    headers.insert(headers.end(), request.headers.begin(), request.headers.end());
    auto answer = net::ask_http(
        {.url = url,
         .method = net::http_method::post,
         .headers = std::move(headers),
         .body = std::move(request.body),
         .timeout = options_.timeout});
    if (answer.status != 200) refuse(url, answer);
    return read_instances(answer.body);
  }

  std::string endpoint() const {
    if (!options_.endpoint.empty()) return without_slash(options_.endpoint) + "/";
    auto domain = region_.starts_with("cn-") ? "amazonaws.com.cn" : "amazonaws.com";
    return "https://ec2." + region_ + "." + domain + "/";
  }

  aws_credentials credentials() {
    if (auto found = credentials_of_environment()) return *found;
    if (!role_ || system_clock::now() + renewed_before >= role_->expiration)
      role_ = metadata_.role_credentials();
    return role_->keys;
  }

  [[noreturn]] void refuse(const std::string& url, const net::http_response& answer) {
    auto error = read_ec2_error(answer.body);
    // Maybe they were taken back before their time: the next look has new ones.
    if (blames_credentials(error.code)) role_.reset();
    throw std::runtime_error(
        "expected " + url + " to answer with 200, got " + std::to_string(answer.status) +
        (error.code.empty() ? "" : ": " + error.code + ": " + error.message));
  }

  options options_;
  ec2_metadata metadata_;
  std::string own_id_;
  std::string region_;
  std::optional<ec2_role_credentials> role_;
};

ec2_tags::ec2_tags(options options) {
  if (options.ec2_tagname.empty())
    throw std::invalid_argument("expected ec2_tagname to be set, got nothing");
  if (options.app_prefix.empty())
    throw std::invalid_argument("expected app_prefix to be set, got nothing");
  if (!options.endpoint.empty()) require_url("endpoint", options.endpoint);
  require_url("metadata_endpoint", options.metadata_endpoint);
  client_ = std::make_unique<client>(std::move(options));
}

ec2_tags::~ec2_tags() = default;

std::vector<std::string> ec2_tags::look() { return client_->look(); }

std::chrono::milliseconds ec2_tags::interval() const noexcept {
  return client_->settings().polling_interval;
}

}  // namespace roost::discovery
