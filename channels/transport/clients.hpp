// private: the process that keeps the clients of one endpoint on one worker: it adopts accepted
// descriptors, looks for silent clients, and says goodbye to them when the endpoint drains.
#pragma once
#include "channels/endpoint_context.hpp"
#include "runtime/gen_server.hpp"

namespace roost::detail {

inline constexpr std::chrono::milliseconds sweep_interval{100};

/// Close so many sockets; tell how many are left.
struct drain_sockets { std::size_t count; };
/// The endpoint stops: the rest goes as well. `drained` follows when nobody is left.
struct drain_all {};
struct sockets_left {
  std::uint32_t worker;
  std::size_t count;
};
struct drained { std::uint32_t worker; };

/// For this worker; it ends with the endpoint, which gets sockets_left and drained.
std::unique_ptr<behavior> make_clients(
    std::shared_ptr<const endpoint_context> context, pid endpoint, std::uint32_t worker);

}  // namespace roost::detail
