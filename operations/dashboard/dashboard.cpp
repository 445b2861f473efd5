#include "operations/dashboard/dashboard.hpp"
#include "channels/transport/routes.hpp"
#include "operations/dashboard/access.hpp"
#include "operations/dashboard/dashboard_channel.hpp"
#include "operations/dashboard/page.hpp"
#include "runtime/config.hpp"
#include "runtime/distribution/node.hpp"
#include "runtime/logger.hpp"
#include <openssl/rand.h>
#include <atomic>
#include <memory>
#include <mutex>

namespace roost::detail {
namespace {

constexpr std::size_t shortest_password = 8;
constexpr std::size_t shortest_token = 16;

dashboard_settings& settings() {
  static auto& all = *new dashboard_settings;
  return all;
}
std::string& secret_key_base() {
  static auto& text = *new std::string;
  return text;
}

/// The same on all nodes of a cluster, so that each takes the others' sessions.
std::string secret() {
  if (!secret_key_base().empty()) return secret_key_base();
  if (auto cookie = node::cookie(); !cookie.empty()) return "roost.dashboard." + cookie;
  std::string random(64, '\0');
  if (RAND_bytes(reinterpret_cast<unsigned char*>(random.data()), 64) != 1)
    throw std::runtime_error("expected OpenSSL to have random numbers, got none");
  return random;
}

// --- answers -------------------------------------------------------------------------------------

http_response guarded(http_response response) {
  auto& headers = response.headers;
  headers.emplace_back(
      "content-security-policy",
      "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src "
      "'self'; "
      "base-uri 'none'; form-action 'self'; frame-ancestors 'none'");
  headers.emplace_back("x-frame-options", "DENY");
  headers.emplace_back("x-content-type-options", "nosniff");
  headers.emplace_back("referrer-policy", "no-referrer");
  headers.emplace_back("cross-origin-opener-policy", "same-origin");
  headers.emplace_back("cross-origin-resource-policy", "same-origin");
  return response;
}

http_response fresh(http_response response) {
  response.headers.emplace_back("cache-control", "no-store");
  return guarded(std::move(response));
}

http_response document(int status, std::string_view text) {
  return fresh(
      {.status = status, .body = std::string(text), .content_type = "text/html; charset=utf-8"});
}

http_response see_other(std::string where) {
  http_response response{.status = 303};
  response.headers.emplace_back("location", std::move(where));
  return fresh(std::move(response));
}

/// At most one line a second, with how many there were.
void log_refusal(const http_request& request) {
  static std::atomic<std::int64_t> last{0};
  static std::atomic<std::uint64_t> since{0};
  auto count = since.fetch_add(1) + 1;
  auto now = std::chrono::duration_cast<std::chrono::milliseconds>(
                 std::chrono::steady_clock::now().time_since_epoch())
                 .count();
  auto before = last.load();
  if (before != 0 && now - before < 1'000) return;
  if (!last.compare_exchange_strong(before, now)) return;
  since -= count;
  logger::warning(
      "somebody was refused at the dashboard",
      {{"address", request.peer_address}, {"path", request.path}, {"attempts", count}});
}

/// Whether something was tried, rather than that somebody came for the first time.
bool tried(const http_request& request) {
  return !request.header("authorization").empty() ||
         request.header("cookie").find("roost_dashboard=") != std::string_view::npos ||
         request.method == "POST" || request.query["token"];
}

http_response refused(const http_request& request) {
  auto& access = current_dashboard();
  if (tried(request) || access.open()) log_refusal(request);
  http_response response;
  if (access.open())
    response = {
        .status = 403,
        .body = "without a password, the dashboard is for http://localhost and 127.0.0.1 only\n"};
  else if (access.asks_for_token())
    response = document(401, sign_in_document());
  else
    response = {.status = 401, .body = "who are you?\n"};
  if (access.asks_for_password())
    response.headers.emplace_back("www-authenticate", "Basic realm=\"roost\", charset=\"UTF-8\"");
  return response.content_type.starts_with("text/html") ? response : fresh(std::move(response));
}

/// A route for those who may come in.
http_handler for_visitors(http_response (*handler)(const http_request&, const std::string& who)) {
  return [handler](const http_request& request) {
    auto who = current_dashboard().who(request);
    return who ? handler(request, *who) : refused(request);
  };
}

// --- routes --------------------------------------------------------------------------------------

http_response sign_in(std::string_view token, const http_request& request, std::string where) {
  auto& access = current_dashboard();
  if (!access.is_token(token)) return refused(request);
  auto response = see_other(std::move(where));
  response.headers.emplace_back("set-cookie", access.begin_session("token"));
  return response;
}

http_response show(const http_request& request) {
  // So that the token stays in no history.
  if (auto token = request.query["token"]) return sign_in(*token, request, "dashboard");
  auto who = current_dashboard().who(request);
  return who ? document(200, page_document()) : refused(request);
}

http_response sign_in_by_form(const http_request& request) {
  return sign_in(
      parse_query(request.body)["token"].value_or(std::string_view()), request, "../dashboard");
}

http_response sign_out(const http_request& /*request*/) {
  auto response = see_other("../dashboard");
  response.headers.emplace_back("set-cookie", current_dashboard().end_session());
  return response;
}

http_response socket_token(const http_request& /*request*/, const std::string& who) {
  return fresh(json_response(200, {{"token", current_dashboard().socket_token(who)}}));
}

/// They are in every roost, so they are no secret; the form needs them before somebody is known.
http_response asset(const http_request& request) {
  auto name = request.parameters["file"].value_or("");
  for (auto& file : page_files()) {
    if (file.name != name) continue;
    http_response response{.content_type = std::string(file.content_type)};
    bool gzip = request.header("accept-encoding").find("gzip") != std::string_view::npos;
    response.body = gzip ? file.gzipped : file.contents;
    if (gzip) response.headers.emplace_back("content-encoding", "gzip");
    response.headers.emplace_back("vary", "accept-encoding");
    response.headers.emplace_back("cache-control", "public, max-age=31536000, immutable");
    return guarded(std::move(response));
  }
  return fresh({.status = 404, .body = "no such file\n"});
}

// --- the configuration ---------------------------------------------------------------------------

void check(const config& section, const endpoint_spec& spec) {
  auto& now = settings();
  if (page_files().empty())
    throw section.error("dashboard.enabled", "false, as this roost was built without its page");
  if (!now.password.empty() && now.password.size() < shortest_password)
    throw section.error("dashboard.password", "8 characters or more");
  if (!now.token.empty() && now.token.size() < shortest_token)
    throw section.error("dashboard.token", "16 characters or more");
  if (now.user.empty() || now.user.find(':') != std::string::npos)
    throw section.error("dashboard.user", "a name without a colon");
  if (!now.password.empty() || !now.token.empty()) return;
  bool local = (!spec.http.enabled || is_loopback_address(spec.http.ip)) &&
               (spec.https.certfile.empty() || is_loopback_address(spec.https.ip));
  bool behind =
      !spec.trusted_proxies.empty() || spec.http.proxy_protocol || spec.https.proxy_protocol;
  if (local && !behind) return;
  throw section.error(
      "dashboard.enabled",
      "false unless there is a dashboard.password or a dashboard.token, as others than this "
      "machine reach the endpoint");
}

}  // namespace

const dashboard_access& current_dashboard() {
  static auto& access = *new dashboard_access(settings(), token_keys(secret()));
  return access;
}

void add_dashboard(endpoint_spec& spec) {
  auto section = application_config().section(spec.name);
  bool enabled = section.get<bool>("dashboard.enabled", false);
  auto& now = settings();
  now.user = section.get<std::string>("dashboard.user", "admin");
  now.password = section.get<std::string>("dashboard.password", "");
  now.token = section.get<std::string>("dashboard.token", "");
  now.allow_destructive_actions = section.get<bool>("dashboard.allow_destructive_actions", false);
  now.https_only = !spec.http.enabled;
  secret_key_base() = spec.secret_key_base;
  bool serves = spec.http.enabled || !spec.https.certfile.empty();
  if (!enabled) return;
  if (!serves)
    throw section.error(
        "dashboard.enabled",
        "false unless http.enabled or an https.certfile lets the endpoint listen");
  check(section, spec);
  spec.routes.push_back(get("/dashboard", show));
  spec.routes.push_back(get("/dashboard/assets/:file", asset));
  spec.routes.push_back(get("/dashboard/token", for_visitors(socket_token)));
  spec.routes.push_back(post("/dashboard/sign_in", sign_in_by_form));
  spec.routes.push_back(post("/dashboard/sign_out", sign_out));
  socket_options options{
      .max_frame_size = 256 * 1024,
      .compress = true,
      .auth_token = true,
      .max_outbound = 16 << 20,
      .log = false};
  // The page is opened by whatever name this machine has, and only that page may connect.
  if (section.kind("check_origin") == config_kind::absent) options.check_origin = same_origin;
  spec.sockets.push_back(socket_at<dashboard_socket>("/dashboard/socket", options));
}

}  // namespace roost::detail
