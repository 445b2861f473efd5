#include "runtime/distribution/link_key.hpp"
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <memory>
#include <stdexcept>
#include <string>

namespace roost::detail {
namespace {

struct freed {
  void operator()(EVP_KDF* kdf) const { EVP_KDF_free(kdf); }
  void operator()(EVP_KDF_CTX* context) const { EVP_KDF_CTX_free(context); }
};

/// With its length, so that no two lists of texts look the same.
void append(std::string& info, std::string_view text) {
  info += static_cast<char>(text.size() >> 8);
  info += static_cast<char>(text.size() & 0xff);
  info += text;
}

OSSL_PARAM octets(const char* name, std::string_view text) {
  // OpenSSL reads it only.
  return OSSL_PARAM_construct_octet_string(name, const_cast<char*>(text.data()), text.size());
}

}  // namespace

link_key::~link_key() { OPENSSL_cleanse(bytes.data(), bytes.size()); }

link_key derive_link_key(
    std::string_view cookie, std::string_view label, std::string_view client,
    std::string_view server) {
  std::string info;
  for (auto text : {label, client, server}) append(info, text);
  std::string digest = "SHA256";
  const std::array<OSSL_PARAM, 4> parameters{
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest.data(), 0),
      octets(OSSL_KDF_PARAM_KEY, cookie), octets(OSSL_KDF_PARAM_INFO, info),
      OSSL_PARAM_construct_end()};
  std::unique_ptr<EVP_KDF, freed> kdf(EVP_KDF_fetch(nullptr, "HKDF", nullptr));
  std::unique_ptr<EVP_KDF_CTX, freed> context(kdf ? EVP_KDF_CTX_new(kdf.get()) : nullptr);
  link_key key;
  if (!context ||
      EVP_KDF_derive(context.get(), key.bytes.data(), key.bytes.size(), parameters.data()) != 1)
    throw std::runtime_error("expected HKDF to derive a key from the cookie, got an error");
  return key;
}

}  // namespace roost::detail
