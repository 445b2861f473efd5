#include "channels/transport/socket_request.hpp"
#include "channels/base64.hpp"
#include "channels/transport/http_answers.hpp"

namespace roost::detail {
namespace {

namespace http = boost::beast::http;

constexpr std::string_view bearer_prefix = "base64url.bearer.phx.";

/// "https://host:port", as the client addressed it.
std::string origin_of_request(const beast_request& message, const request_peer& peer) {
  std::string scheme = peer.tls ? "https" : "http";
  std::string host(view(message[http::field::host]));
  if (peer.trusted) {
    if (auto found = view(message["X-Forwarded-Proto"]); !found.empty()) scheme = lowered(found);
    if (auto found = view(message["X-Forwarded-Host"]); !found.empty()) host = found;
  }
  return scheme + "://" + host;
}

/// phoenix.js offers the subprotocols "phoenix" and "base64url.bearer.phx.<token>"; when it polls,
/// it has a header.
std::optional<std::string> auth_token_of(const beast_request& message) {
  if (auto header = message.find("X-Phoenix-AuthToken"); header != message.end())
    return std::string(view(header->value()));
  auto offers = view(message[http::field::sec_websocket_protocol]);
  while (!offers.empty()) {
    auto comma = offers.find(',');
    auto offer = offers.substr(0, comma);
    offers.remove_prefix(comma == offers.npos ? offers.size() : comma + 1);
    while (offer.starts_with(' ')) offer.remove_prefix(1);
    while (offer.ends_with(' ')) offer.remove_suffix(1);
    if (offer.starts_with(bearer_prefix)) return from_base64url(offer.substr(bearer_prefix.size()));
  }
  return std::nullopt;
}

}  // namespace

std::string client_address(
    const beast_request& message, const request_peer& peer, const networks& trusted) {
  if (!peer.trusted) return std::string(peer.address);
  std::string all;
  for (auto& field : message)
    if (lowered(view(field.name_string())) == "x-forwarded-for")
      all.append(all.empty() ? "" : ",").append(view(field.value()));
  return forwarded_client(peer.address, all, trusted);
}

bool origin_is_allowed(
    const beast_request& message, const request_peer& peer, const socket_mount& mount,
    const endpoint_context& endpoint) {
  auto origin = message.find(http::field::origin);
  if (origin == message.end()) return true;
  auto text = view(origin->value());
  auto& spec = endpoint.spec;
  auto& check = mount.options.check_origin ? *mount.options.check_origin : spec.check_origin;
  if (check.what == origin_check::kind::asked) return check.ask(text);
  auto position = static_cast<std::size_t>(&mount - spec.sockets.data());
  auto& own = endpoint.socket_origins[position];
  return origin_allowed(
      text, own ? *own : endpoint.origins, spec.url_host, origin_of_request(message, peer));
}

connect_info connect_info_of(
    const beast_request& message, const request_peer& peer, const socket_mount& mount,
    const networks& trusted) {
  connect_info info;
  info.peer_address = client_address(message, peer, trusted);
  if (info.peer_address == peer.address) info.peer_port = peer.port;
  info.uri = origin_of_request(message, peer).append(view(message.target()));
  info.user_agent = view(message[http::field::user_agent]);
  for (auto& header : message) {
    auto name = lowered(view(header.name_string()));
    auto* where = name.starts_with("x-")                          ? &info.x_headers
                  : name == "traceparent" || name == "tracestate" ? &info.trace_context_headers
                  : name.starts_with("sec-websocket-")            ? &info.sec_websocket_headers
                                                                  : nullptr;
    if (where != nullptr) where->emplace_back(std::move(name), view(header.value()));
  }
  if (mount.options.auth_token) info.auth_token = auth_token_of(message);
  return info;
}

}  // namespace roost::detail
