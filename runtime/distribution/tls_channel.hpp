// private: links over TLS 1.3, by cookie or by certificates. OpenSSL's state machine between memory
// buffers; see secure_channel.hpp.
#pragma once
#include "runtime/distribution/secure_channel.hpp"

namespace roost::detail {

/// Throws as security_context::make does.
std::shared_ptr<security_context> make_tls_context(security_options options);

}  // namespace roost::detail
