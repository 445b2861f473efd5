#include "runtime/discovery/kubernetes_answer.hpp"
#include <simdjson.h>
#include <algorithm>
#include <stdexcept>

namespace roost::discovery {
namespace {

using simdjson::dom::element;
using simdjson::dom::object;

[[noreturn]] void refuse(const std::string& expectation) {
  throw std::runtime_error(
      "expected the answer of Kubernetes to have " + expectation + ", got something else");
}

/// The value at the key; nothing when there is none or it is null, as Go writes empty lists.
template <class T>
bool find(object in, std::string_view key, T& value, const std::string& kind) {
  element found;
  if (in.at_key(key).get(found) || found.is_null()) return false;
  if (found.get(value)) refuse(kind + " at " + std::string(key));
  return true;
}

std::string text_at(object in, std::string_view key) {
  std::string_view text;
  find(in, key, text, "a text");
  return std::string(text);
}

/// Calls with the object at the key, if there is one.
template <class F>
void with_object(object in, std::string_view key, F take) {
  object part;
  if (find(in, key, part, "an object")) take(part);
}

/// Calls with each object of the list at the key.
template <class F>
void each_at(object in, std::string_view key, F take) {
  simdjson::dom::array list;
  if (!find(in, key, list, "a list")) return;
  for (auto item : list) {
    object each;
    if (item.get(each)) refuse("objects in " + std::string(key));
    take(each);
  }
}

object parse_list(simdjson::dom::parser& parser, std::string_view json, const std::string& what) {
  element document;
  if (auto error = parser.parse(json.data(), json.size()).get(document))
    throw std::runtime_error(
        "expected Kubernetes to answer with JSON, got: " +
        std::string(simdjson::error_message(error)));
  object list;
  element items;
  if (document.get(list) || list.at_key("items").get(items))
    throw std::runtime_error(
        "expected Kubernetes to answer with a list of " + what + ", got something else");
  return list;
}

pod_address read_address(object address, const std::string& fallback) {
  pod_address pod{
      .ip = text_at(address, "ip"),
      .hostname = text_at(address, "hostname"),
      .namespace_ = fallback};
  with_object(address, "targetRef", [&](object target) {
    if (auto own = text_at(target, "namespace"); !own.empty()) pod.namespace_ = std::move(own);
  });
  if (pod.ip.empty()) refuse("an ip at each address");
  return pod;
}

}  // namespace

std::vector<pod_address> read_endpoints(std::string_view json) {
  simdjson::dom::parser parser;
  std::vector<pod_address> pods;
  each_at(parse_list(parser, json, "endpoints"), "items", [&](object item) {
    std::string space;
    with_object(item, "metadata", [&](object meta) { space = text_at(meta, "namespace"); });
    each_at(item, "subsets", [&](object subset) {
      each_at(subset, "addresses", [&](object address) {
        pods.push_back(read_address(address, space));
      });
    });
  });
  return pods;
}

std::vector<pod_address> read_pods(std::string_view json) {
  simdjson::dom::parser parser;
  std::vector<pod_address> pods;
  each_at(parse_list(parser, json, "pods"), "items", [&](object item) {
    pod_address pod;
    std::string phase;
    with_object(item, "status", [&](object status) {
      pod.ip = text_at(status, "podIP");
      phase = text_at(status, "phase");
    });
    with_object(item, "spec", [&](object spec) { pod.hostname = text_at(spec, "hostname"); });
    with_object(
        item, "metadata", [&](object meta) { pod.namespace_ = text_at(meta, "namespace"); });
    // The address of a pod that has ended may be another one's by now.
    bool has_ended = phase == "Succeeded" || phase == "Failed";
    if (!pod.ip.empty() && !has_ended) pods.push_back(std::move(pod));
  });
  return pods;
}

std::string read_status_message(std::string_view json) {
  simdjson::dom::parser parser;
  std::string_view message;
  object status;
  if (parser.parse(json.data(), json.size()).get(status)) return {};
  if (status.at_key("message").get(message)) return {};
  std::string text(message.substr(0, 300));
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return c < ' ' || c == 0x7f; }, ' ');
  return text;
}

}  // namespace roost::discovery
