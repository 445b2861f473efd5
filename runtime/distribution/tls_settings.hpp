// private: OpenSSL's settings for links, and whose certificate is whose.
//
// TLS 1.3 with one cipher suite, whose hash is that of the pre-shared keys. No tickets, no early
// data, no session cache, so that every link is proved anew.
//
// Thread safety: any thread. Source: RFC 8446; RFC 6125 for names of hosts in certificates.
#pragma once
#include "runtime/distribution/secure_channel.hpp"
#include <openssl/ssl.h>
#include <array>

namespace roost::detail {

inline constexpr const char* tls_suite = "TLS_AES_128_GCM_SHA256";
inline constexpr std::array<unsigned char, 2> tls_suite_number{0x13, 0x01};

/// Without certificates.
std::shared_ptr<SSL_CTX> make_tls_settings();

/// Throws config_error with a sentence when files cannot be used.
std::shared_ptr<SSL_CTX> make_tls_settings(
    const std::string& certificate, const std::string& key, const std::string& authority);

/// Whether a node of this name may show it: its full name or its host stands there.
bool certificate_covers(X509* certificate, std::string_view node);

/// What OpenSSL has to say about this thread's last failure; fixed texts, nothing of what came in.
std::string tls_reason();

}  // namespace roost::detail
