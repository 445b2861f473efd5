// private: the server behind /metrics: counts while it lives, answers other nodes, and gathers what
// they count, when that is wanted and somebody has scraped within the last minute.
//
// Nobody waits for another node: a scrape takes the latest texts that have come. A node that has
// not answered within `timeout` is left out until it does, and counted.
#pragma once
#include "operations/metrics.hpp"
#include "operations/user_metrics.hpp"
#include "runtime/config.hpp"
#include "runtime/gen_server.hpp"
#include <memory>

namespace roost::detail {

struct metrics_settings {
  bool enabled = true;
  bool all_nodes = false;
  std::chrono::milliseconds interval{5'000};  // between two gatherings
  std::chrono::milliseconds timeout{1'000};
  std::vector<metrics::definition> definitions = {};
};

/// Reads the section operations.metrics. Throws config_error.
metrics_settings read_metrics_settings(
    const config& section, std::vector<metrics::definition> definitions);

class metrics_server {
 public:
  static constexpr auto name = "operations.metrics";

  struct get_text {
    using reply = std::string;
    static constexpr std::string_view wire_name = "roost.operations.metrics.get_text";
  };
  struct gather_now {};  // a scrape has come after a long silence
  using messages = roost::messages<get_text, gather_now>;
  struct gather_due {};
  using infos = roost::messages<gather_due>;

  static init_result<metrics_server> init(const metrics_settings& settings);
  metrics_server(metrics_server&&) noexcept;
  metrics_server& operator=(metrics_server&&) noexcept;
  ~metrics_server();

  std::string handle_call(get_text) const;
  void handle_cast(gather_now);
  void handle_info(gather_due);

 private:
  explicit metrics_server(const metrics_settings& settings);
  void gather();

  struct counting;
  metrics_settings settings_;
  std::unique_ptr<counting> counting_;
  bool asking_ = false;
  bool waits_ = false;  // for gather_due
};

}  // namespace roost::detail
