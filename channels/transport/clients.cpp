#include "channels/transport/clients.hpp"
#include "channels/transport/connection.hpp"
#include "channels/transport/http_server.hpp"

namespace roost::detail {
namespace {

struct sweep {};

// Each costs a few cache misses, so that all of a hundred thousand at once would hold up the
// worker.
constexpr std::size_t swept_at_once = 500, rounds_for_all = 20;

class clients_process final : public behavior {
 public:
  clients_process(
      std::shared_ptr<const endpoint_context> context, pid endpoint, std::uint32_t worker)
      : context_(std::move(context)),
        endpoint_(endpoint),
        worker_(worker),
        clients_(*context_->admission) {}

  ~clients_process() override {
    clients_.for_each([](attended& client) { client.cut(); });
  }

  std::string_view initial_call() const noexcept override { return "roost::endpoint.clients"; }

  init_outcome init() override {
    link(endpoint_);
    return {};
  }

  void handle(message& message) override {
    if (auto* accepted = value_of<new_connection>(message)) {
      serve_http(std::move(*accepted), context_, clients_);
      keep_sweeping();
    } else if (value_of<sweep>(message) != nullptr) {
      sweeping_ = false;
      auto now = worker::current()->now();
      clients_.for_some(
          std::min(clients_.size(), std::max(swept_at_once, clients_.size() / rounds_for_all)),
          [now](attended& client) { client.sweep(now); });
      keep_sweeping();
    } else if (auto* batch = value_of<drain_sockets>(message)) {
      drain_some(batch->count);
    } else if (value_of<drain_all>(message) != nullptr) {
      draining_ = true;
      clients_.for_each([](attended& client) { client.drain(); });
      keep_sweeping();
    }
  }

 private:
  void drain_some(std::size_t most) {
    std::size_t left = 0;
    clients_.for_each([&](attended& client) {
      if (!client.is_socket() || client.says_goodbye) return;
      if (most == 0) {
        ++left;
        return;
      }
      --most;
      client.says_goodbye = true;
      client.drain();
    });
    send(endpoint_, sockets_left{worker_, left});
  }

  /// Looks in again while there are clients: an idle endpoint has no timer.
  void keep_sweeping() {
    if (clients_.size() > 0) {
      if (!std::exchange(sweeping_, true)) send_after(sweep_interval, self(), sweep{});
    } else if (std::exchange(draining_, false)) {
      send(endpoint_, drained{worker_});
    }
  }

  std::shared_ptr<const endpoint_context> context_;
  pid endpoint_;
  std::uint32_t worker_;
  client_list clients_;
  bool sweeping_ = false;
  bool draining_ = false;
};

}  // namespace

std::unique_ptr<behavior> make_clients(
    std::shared_ptr<const endpoint_context> context, pid endpoint, std::uint32_t worker) {
  return std::make_unique<clients_process>(std::move(context), endpoint, worker);
}

}  // namespace roost::detail
