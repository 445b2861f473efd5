#include "runtime/discovery/ec2_answer.hpp"
#include "runtime/net/xml.hpp"
#include <algorithm>
#include <stdexcept>
#include <utility>

namespace roost::discovery {
namespace {

constexpr std::string_view root = "DescribeInstancesResponse";

/// Collects an instance from the elements in it, which end before it does.
class page_builder {
 public:
  void take(std::string_view path, const std::string& text) {
    if (path == root) is_whole_ = true;
    if (!path.starts_with(root)) return;
    path.remove_prefix(std::min(path.size(), root.size() + 1));
    if (path == "nextToken") page_.next_token = text;
    static constexpr std::string_view item = "reservationSet/item/instancesSet/item";
    if (!path.starts_with(item)) return;
    path.remove_prefix(item.size());
    if (path.empty())
      page_.instances.push_back(std::exchange(instance_, {}));
    else if (path == "/instanceId")
      instance_.id = text;
    else if (path == "/privateIpAddress")
      instance_.private_ip = text;
    else if (path == "/ipAddress")
      instance_.public_ip = text;
    else if (path == "/privateDnsName")
      instance_.private_dns = text;
    else if (path == "/tagSet/item/key")
      key_ = text;
    else if (path == "/tagSet/item/value")
      value_ = text;
    else if (path == "/tagSet/item")
      instance_.tags[std::exchange(key_, {})] = std::exchange(value_, {});
  }

  ec2_page finish() && {
    if (!is_whole_)
      throw std::runtime_error("expected EC2 to answer with instances, got something else");
    return std::move(page_);
  }

 private:
  ec2_page page_;
  ec2_instance instance_;
  std::string key_;
  std::string value_;
  bool is_whole_ = false;
};

}  // namespace

ec2_page read_instances(std::string_view xml) {
  page_builder page;
  try {
    net::read_xml(xml, [&](auto path, auto& text) { page.take(path, text); });
  } catch (const net::xml_error& error) {
    throw std::runtime_error(std::string("the answer of EC2: ") + error.what());
  }
  return std::move(page).finish();
}

ec2_error read_ec2_error(std::string_view xml) {
  ec2_error found;
  auto set = [](std::string& field, const std::string& text) {
    if (!field.empty()) return;
    field = text.substr(0, 300);
    std::replace_if(
        field.begin(), field.end(), [](unsigned char c) { return c < ' ' || c == 0x7f; }, ' ');
  };
  try {
    net::read_xml(xml, [&](auto path, auto& text) {
      if (path.ends_with("/Error/Code")) set(found.code, text);
      if (path.ends_with("/Error/Message")) set(found.message, text);
    });
  } catch (const net::xml_error&) {
    return {};  // a gateway on the way speaks HTML
  }
  return found;
}

}  // namespace roost::discovery
