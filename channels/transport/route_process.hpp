// private: runs the handler of a route. It is user code, so it runs as a process of its own: a
// crash is reported, and answered with 500.
#pragma once
#include "channels/http.hpp"

namespace roost::detail {

http_response run_route(const http_route& route, const http_request& request);

}  // namespace roost::detail
