// supervision/release/distribution_options.hpp — private.
//
// How this node opens itself to others, from the configuration:
//
//   distribution:
//     address: 127.0.0.1      # 0.0.0.0 lets other machines in
//     net_ticktime: 60s
//     tls: psk                # or certificates, with the files below, or off
//
// docs/cluster.md has every key.
#pragma once
#include "runtime/distribution/node.hpp"
#include "supervision/release/environment.hpp"
#include <optional>

namespace roost::detail {

/// Reads all keys, so that they are known; nothing for a node without a name. Throws config_error.
std::optional<node::options> read_distribution(
    const config& config, const release_environment& release);

}  // namespace roost::detail
