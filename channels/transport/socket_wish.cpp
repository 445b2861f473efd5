#include "channels/transport/socket_wish.hpp"
#include "channels/transport/http_answers.hpp"
#include "runtime/logger.hpp"

namespace roost::detail {

std::optional<socket_wish> socket_wish_of(
    const beast_request& message, const request_peer& peer, const socket_match& match,
    const std::shared_ptr<const endpoint_context>& endpoint) {
  if (!origin_is_allowed(message, peer, *match.mount, *endpoint)) {
    logger::debug(
        "origin not allowed, refusing the socket",
        {{"origin", view(message[boost::beast::http::field::origin])},
         {"socket", match.mount->path}});
    return std::nullopt;
  }
  auto parameters = parse_query(query_of(message)).entries();
  parameters.insert(parameters.end(), match.path_parameters.begin(), match.path_parameters.end());
  params all(std::move(parameters));
  auto protocol = choose_protocol(all["vsn"]);
  if (!protocol) return std::nullopt;
  return socket_wish{
      *protocol,
      {match.mount, endpoint, std::move(all),
       connect_info_of(message, peer, *match.mount, endpoint->trusted)}};
}

std::pair<socket_process*, start_status> start_socket(socket_process::request request) {
  auto behavior = std::make_unique<socket_process>(std::move(request));
  auto* process = behavior.get();
  start_request options;
  options.worker = static_cast<int>(worker::current()->index());
  return {process, start_process(std::move(behavior), std::move(options)).status};
}

http_response unavailable(refusal why, const admission& admission) {
  auto response = plain_response(503, std::string(to_string(why)));
  response.headers.emplace_back("retry-after", std::to_string(admission.retry_after()));
  return response;
}

}  // namespace roost::detail
