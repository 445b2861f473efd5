#include "channels/transport/route_process.hpp"
#include "channels/transport/http_answers.hpp"
#include "runtime/gen_server.hpp"
#include "runtime/scheduler.hpp"
#include "runtime/telemetry.hpp"

namespace roost::detail {
namespace {

const telemetry::event dispatch_start{"phoenix.router_dispatch.start"};
const telemetry::event dispatch_stop{"phoenix.router_dispatch.stop"};
const telemetry::event dispatch_exception{"phoenix.router_dispatch.exception"};

}  // namespace

http_response run_route(const http_route& route, const http_request& request) {
  auto response = std::make_shared<http_response>();
  response->status = 0;  // until the handler has returned

  struct handler_process final : behavior {
    const http_route& route;
    const http_request& request;
    std::shared_ptr<http_response> response;
    handler_process(const http_route& r, const http_request& q, std::shared_ptr<http_response> a)
        : route(r), request(q), response(std::move(a)) {}
    init_outcome init() override {
      *response = route.handler(request);
      return {init_status::ignore, {}};
    }
    void handle(detail::message&) override {}
    std::string_view initial_call() const noexcept override { return route.path; }
  };
  start_request options;
  options.worker = static_cast<int>(worker::current()->index());
  auto begun = std::chrono::steady_clock::now();
  telemetry::execute(dispatch_start, {}, {{"route", route.path}, {"method", request.method}});
  start_process(std::make_unique<handler_process>(route, request, response), std::move(options));
  bool returned = response->status != 0;
  if (!returned) *response = error_response(500, "Internal Server Error");
  telemetry::execute(
      returned ? dispatch_stop : dispatch_exception,
      {{"duration", std::chrono::steady_clock::now() - begun}},
      {{"route", route.path}, {"method", request.method}, {"status", response->status}});
  return std::move(*response);
}

}  // namespace roost::detail
