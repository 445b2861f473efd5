#include "runtime/distribution/tls_settings.hpp"
#include "runtime/config.hpp"
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdexcept>

namespace roost::detail {
namespace {

template <class T, void free(T*)>
struct freed {
  void operator()(T* object) const { free(object); }
};
using alternative_names = std::unique_ptr<GENERAL_NAMES, freed<GENERAL_NAMES, GENERAL_NAMES_free>>;

void require(bool done) {
  if (!done)
    throw std::runtime_error("expected OpenSSL to take its settings, got: " + tls_reason());
}

void require(bool done, const std::string& file, const std::string& expectation) {
  if (!done)
    throw config_error("expected " + file + " to be " + expectation + ", got: " + tls_reason());
}

/// A key with a passphrase is an error rather than a question at the terminal.
int no_passphrase(char*, int, int, void*) { return -1; }

std::string_view text_of(const ASN1_STRING* text) {
  return {
      reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
      static_cast<std::size_t>(ASN1_STRING_length(text))};
}

/// Whether the name is among the alternative names; nothing when there are none of text.
std::optional<bool> among_alternatives(X509* certificate, std::string_view node) {
  alternative_names names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  std::optional<bool> found;
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    int type = 0;
    auto* value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names.get(), i), &type);
    if (type != GEN_DNS && type != GEN_URI) continue;
    if (text_of(static_cast<const ASN1_STRING*>(value)) == node) return true;
    found = false;
  }
  return found;
}

bool is_common_name(X509* certificate, std::string_view node) {
  auto* subject = X509_get_subject_name(certificate);
  int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  return at >= 0 && text_of(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at))) == node;
}

}  // namespace

std::string tls_reason() {
  const char* text = ERR_reason_error_string(ERR_peek_error());
  return text != nullptr ? text : "no reason";
}

std::shared_ptr<SSL_CTX> make_tls_settings() {
  ERR_clear_error();
  std::shared_ptr<SSL_CTX> context(SSL_CTX_new(TLS_method()), SSL_CTX_free);
  require(context != nullptr);
  auto* ctx = context.get();
  require(SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION));
  require(SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION));
  require(SSL_CTX_set_ciphersuites(ctx, tls_suite));
  require(SSL_CTX_set1_groups_list(ctx, "X25519:P-256"));
  SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_clear_options(ctx, SSL_OP_ALLOW_NO_DHE_KEX | SSL_OP_ENABLE_MIDDLEBOX_COMPAT);
  require(SSL_CTX_set_num_tickets(ctx, 0));
  require(SSL_CTX_set_max_early_data(ctx, 0));
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_max_cert_list(ctx, 1 << 15);
  SSL_CTX_clear_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE);
  // An idle link has no buffers, which are 34 KiB.
  SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_AUTO_RETRY);
  return context;
}

std::shared_ptr<SSL_CTX> make_tls_settings(
    const std::string& certificate, const std::string& key, const std::string& authority) {
  auto context = make_tls_settings();
  auto* ctx = context.get();
  SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
  require(
      SSL_CTX_use_certificate_chain_file(ctx, certificate.c_str()) == 1,
      "the certificate " + certificate, "a PEM file that can be read");
  require(
      SSL_CTX_use_PrivateKey_file(ctx, key.c_str(), SSL_FILETYPE_PEM) == 1, "the key " + key,
      "a PEM file without a passphrase that can be read, of the key of " + certificate);
  require(SSL_CTX_check_private_key(ctx) == 1, "the key " + key, "the key of " + certificate);
  require(
      SSL_CTX_load_verify_file(ctx, authority.c_str()) == 1, "the authority " + authority,
      "a PEM file of certificates that can be read");
  // Whoever stands in the file is an authority, also one that another has signed.
  X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx), X509_V_FLAG_PARTIAL_CHAIN);
  return context;
}

bool certificate_covers(X509* certificate, std::string_view node) {
  auto full_name = among_alternatives(certificate, node);
  if (full_name ? *full_name : is_common_name(certificate, node)) return true;
  const std::string host(node.substr(node.find('@') + 1));
  if (host.empty()) return false;
  return X509_check_host(
             certificate, host.data(), host.size(), X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS,
             nullptr) == 1 ||
         X509_check_ip_asc(certificate, host.c_str(), 0) == 1;
}

}  // namespace roost::detail
