#include "operations/notices.hpp"
#include "operations/notice_body.hpp"
#include "runtime/blocking.hpp"
#include "runtime/distribution/node.hpp"
#include "runtime/logger.hpp"
#include "runtime/process_info.hpp"
#include "runtime/telemetry.hpp"
#include "supervision/reports.hpp"
#include <charconv>
#include <ctime>

namespace roost::detail {
namespace {

constexpr std::chrono::hours longest_retry_after{1};

std::string_view name_of(destination to) {
  return to == destination::webhook ? "webhook" : "sentry";
}

/// Seconds, or a date as HTTP writes it.
std::optional<std::chrono::milliseconds> read_retry_after(std::string_view text) {
  if (text.empty()) return std::nullopt;
  unsigned seconds = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error == std::errc() && end == text.data() + text.size())
    return std::min<std::chrono::milliseconds>(std::chrono::seconds(seconds), longest_retry_after);
  std::tm date{};
  if (::strptime(std::string(text).c_str(), "%a, %d %b %Y %H:%M:%S GMT", &date) == nullptr)
    return std::nullopt;
  auto left = std::chrono::seconds(::timegm(&date) - std::time(nullptr));
  return std::clamp<std::chrono::milliseconds>(
      left, std::chrono::milliseconds(0), longest_retry_after);
}

}  // namespace

notice_counts& notice_counters() noexcept {
  static constinit notice_counts counts;
  return counts;
}

void deliver(notice notice) {
  if (auto server = whereis(notice_server::name))
    enqueue(
        server, make_message<notice_server::add>(
                    message_kind::cast, notice_server::add{std::move(notice)}));
}

void deliver(const webhook& to, std::string body) {
  if (to.url.empty()) return;
  notice notice{.to = destination::webhook, .url = to.url, .body = std::move(body)};
  notice.headers.emplace_back("content-type", "application/json");
  if (!to.authorization.empty()) notice.headers.emplace_back("authorization", to.authorization);
  deliver(std::move(notice));
}

notice_settings read_notice_settings(const config& section) {
  notice_settings settings;
  settings.webhook.url = section.get<std::string>("webhook.url", "");
  settings.webhook.authorization = section.get<std::string>("webhook.authorization", "");
  if (!settings.webhook.url.empty()) {
    try {
      (void)net::parse_http_url(settings.webhook.url);
    } catch (const net::http_error&) {
      throw section.error("webhook.url", "an address that begins with http:// or https://");
    }
  }
  settings.queue = section.get_in<std::size_t>("notices.queue", settings.queue, 1, 100'000);
  settings.attempts = section.get_in<unsigned>("notices.attempts", settings.attempts, 1, 1'000);
  auto time = [&](std::string_view key, std::chrono::milliseconds& value) {
    value = section.get<std::chrono::milliseconds>(key, value);
    if (value.count() < 1 || value > std::chrono::hours(24))
      throw section.error(key, "a time of 1 ms to a day");
  };
  time("notices.timeout", settings.timeout);
  time("notices.first_delay", settings.first_delay);
  time("notices.longest_delay", settings.longest_delay);
  return settings;
}

attempt_result judge_attempt(
    const notice_settings& settings, unsigned attempt, int status, std::string_view retry_after,
    double random) {
  if (status >= 200 && status < 300) return {attempt_result::delivered};
  bool later = status == 0 || status == 408 || status == 429 || status >= 500;
  if (!later || attempt >= settings.attempts) return {attempt_result::refused};
  if (auto told = read_retry_after(retry_after)) {
    // A little more, so that those who were refused together do not come back together.
    auto jitter = std::chrono::milliseconds(
        static_cast<std::int64_t>(random * static_cast<double>(settings.first_delay.count())));
    return {attempt_result::again, *told + jitter};
  }
  auto delay = settings.first_delay;
  for (unsigned i = 1; i < attempt && delay < settings.longest_delay; ++i) delay *= 2;
  delay = std::min(delay, settings.longest_delay);
  auto part = static_cast<double>(delay.count()) * (0.5 + random / 2);
  return {attempt_result::again, std::chrono::milliseconds(static_cast<std::int64_t>(part))};
}

namespace {

/// Attached while it lives.
struct alarm_handler {
  static constexpr auto id = "roost.operations.notices";

  explicit alarm_handler(const webhook& to) {
    telemetry::detach(id);
    auto tell =
        [to](std::string_view event, const telemetry::values&, const telemetry::values& metadata) {
          auto state = event.substr(event.rfind('.') + 1);
          auto text = [&](std::string_view name) { return metadata[name].to_string(); };
          deliver(to, alarm_notice(state, text("alarm"), text("description"), node::self()));
        };
    telemetry::attach_many(id, {"roost.alarm.set", "roost.alarm.clear"}, tell);
  }
  alarm_handler(const alarm_handler&) = delete;
  alarm_handler& operator=(const alarm_handler&) = delete;
  ~alarm_handler() { telemetry::detach(id); }
};

}  // namespace

notice_server::notice_server(const notice_settings& settings) : settings_(settings) {
  if (!settings.webhook.url.empty())
    tells_of_alarms_ = std::make_shared<alarm_handler>(settings.webhook);
}

init_result<notice_server> notice_server::init(const notice_settings& settings) {
  set_sensitive(true);  // addresses and headers have secrets
  return notice_server(settings);
}

std::string notice_server::format_status() const {
  return std::to_string(lanes_[0].waiting.size()) + " for the webhook, " +
         std::to_string(lanes_[1].waiting.size()) + " for sentry";
}

void notice_server::handle_cast(add message) {
  auto to = message.what.to;
  auto& lane = lanes_[static_cast<std::size_t>(to)];
  if (lane.waiting.size() >= settings_.queue) {
    // The first may be under way; if it is, the one behind it is the oldest.
    bool first_is_out = lane.busy && lane.waiting.size() > 1;
    lane.waiting.erase(lane.waiting.begin() + (first_is_out ? 1 : 0));
    notice_counters().dropped.fetch_add(1, std::memory_order_relaxed);
  }
  lane.waiting.push_back(std::move(message.what));
  if (!lane.busy) send_first(to);
}

void notice_server::handle_info(next_due due) { send_first(due.to); }

void notice_server::send_first(destination to) {
  auto& lane = lanes_[static_cast<std::size_t>(to)];
  lane.busy = !lane.waiting.empty();
  if (!lane.busy) return;
  ++lane.attempt;
  auto& first = lane.waiting.front();
  net::http_request request{
      .url = first.url,
      .method = net::http_method::post,
      .headers = first.headers,
      .body = first.body,
      .timeout = settings_.timeout};
  auto ask = [request = std::move(request)] {
    answer answer;
    try {
      auto response = net::ask_http(request);
      answer.status = response.status;
      answer.retry_after = response.header("retry-after");
    } catch (const std::exception& error) {
      answer.error = error.what();
    }
    return answer;
  };
  blocking(std::move(ask))
      .then(
          [this, to](answer answer) { answered(to, answer); },
          [this, to](const exit_reason& reason) { answered(to, {.error = reason.to_string()}); });
}

void notice_server::answered(destination to, const answer& answer) {
  auto& lane = lanes_[static_cast<std::size_t>(to)];
  auto result =
      judge_attempt(settings_, lane.attempt, answer.status, answer.retry_after, random_part());
  bool good = result.what == attempt_result::delivered;
  if (!good && !std::exchange(lane.told, true))
    logger::warning(
        "a notice was not delivered",
        {{"to", name_of(to)}, {"status", answer.status}, {"reason", answer.error}});
  if (good && std::exchange(lane.told, false))
    logger::notice("notices are delivered again", {{"to", name_of(to)}});
  if (result.what == attempt_result::again) {
    send_after(result.delay, self(), next_due{to});
    return;
  }
  auto& counts = notice_counters();
  (good ? counts.delivered : counts.failed).fetch_add(1, std::memory_order_relaxed);
  lane.waiting.pop_front();
  lane.attempt = 0;
  send_first(to);
}

}  // namespace roost::detail
