#include "runtime/distribution/secure_channel.hpp"
#include "runtime/distribution/cookie_channel.hpp"
#include "runtime/distribution/tls_channel.hpp"
#include "runtime/node_table.hpp"
#include <stdexcept>

namespace roost::detail {

std::shared_ptr<security_context> security_context::make(security_options options) {
  if (!is_node_name(options.node))
    throw std::invalid_argument(
        "expected the node's name to be name@host, got \"" + options.node + '"');
  if (options.mode != link_security::certificates && !options.cookie_for)
    throw std::invalid_argument("expected security_options.cookie_for to be set, got nothing");
  if (options.records_per_key == 0)
    throw std::invalid_argument("expected security_options.records_per_key to be 1 or more, got 0");
  if (options.mode == link_security::none) return make_cookie_context(std::move(options));
  return make_tls_context(std::move(options));
}

}  // namespace roost::detail
