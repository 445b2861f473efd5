// private: what the clients do once they have joined: one class for each mode.
#pragma once
#include "bench/load/options.hpp"
#include "bench/load/wire.hpp"
#include <limits>
#include <memory>

namespace roost::load {

class engine;
struct client;

inline constexpr std::uint64_t never = std::numeric_limits<std::uint64_t>::max();
/// The clients that stay while the herd is cut.
inline constexpr std::uint32_t steady_clients = 10;

class scenario {
 public:
  scenario() = default;
  scenario(const scenario&) = delete;
  scenario& operator=(const scenario&) = delete;
  virtual ~scenario() = default;

  /// All have joined. Times are nanoseconds of the monotonic clock.
  virtual void begin(engine& /*engine*/, std::uint64_t /*now*/) {}
  /// A reply to a message of the client.
  virtual void on_reply(
      engine& /*engine*/, client& /*client*/, std::uint64_t /*stamp*/, std::uint64_t /*now*/) {}
  /// Does what is due, and answers when it wants to be called again.
  virtual std::uint64_t tick(engine& /*engine*/, std::uint64_t /*now*/) { return never; }
  /// Instead of on the sockets.
  virtual bool sleeps_by_the_clock() const { return false; }
};

std::unique_ptr<scenario> make_scenario(const options& options);

}  // namespace roost::load
