// An authority that signs certificates for the tests, and a directory for their files.
#pragma once
#include <doctest/doctest.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

namespace roost::test {

/// Removed with all that is in it.
class directory {
 public:
  directory() {
    auto name = (std::filesystem::temp_directory_path() / "roost_XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  directory(const directory&) = delete;
  directory& operator=(const directory&) = delete;
  ~directory() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }

  std::string path(const std::string& name) const { return path_ + "/" + name; }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(path(name)) << text;
    return path(name);
  }

 private:
  std::string path_;
};

/// A certificate with its key.
struct identity {
  std::shared_ptr<X509> certificate;
  std::shared_ptr<EVP_PKEY> key;

  std::string certificate_pem() const {
    return pem([&](BIO* out) { return PEM_write_bio_X509(out, certificate.get()); });
  }
  std::string key_pem() const {
    return pem([&](BIO* out) {
      return PEM_write_bio_PrivateKey(out, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
    });
  }

 private:
  template <class F>
  static std::string pem(F write) {
    std::unique_ptr<BIO, int (*)(BIO*)> out(BIO_new(BIO_s_mem()), BIO_free);
    REQUIRE(write(out.get()) == 1);
    char* text = nullptr;
    auto size = BIO_get_mem_data(out.get(), &text);
    return {text, static_cast<std::size_t>(size)};
  }
};

class authority {
 public:
  struct request {
    std::string common_name = "node";
    std::string names = {};  // as OpenSSL writes them: "DNS:host,IP:10.0.0.1,URI:a@host"
    long days_left = 1;      // negative: expired
  };

  explicit authority(const std::string& name = "authority")
      : self_(make({name, "CA:TRUE", 10}, nullptr)) {}

  identity issue(const request& request) const { return make(request, &self_); }
  std::string pem() const { return self_.certificate_pem(); }

 private:
  /// Without an issuer it is an authority.
  static identity make(const request& request, const identity* issuer) {
    identity made{{X509_new(), X509_free}, {EVP_EC_gen("P-256"), EVP_PKEY_free}};
    auto* certificate = made.certificate.get();
    static long serial = 0;
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
    constexpr long day = 24 * 60 * 60;
    X509_gmtime_adj(X509_getm_notBefore(certificate), -10 * day);
    X509_gmtime_adj(X509_getm_notAfter(certificate), request.days_left * day);
    X509_set_pubkey(certificate, made.key.get());
    X509_NAME_add_entry_by_txt(
        X509_get_subject_name(certificate), "CN", MBSTRING_UTF8,
        reinterpret_cast<const unsigned char*>(request.common_name.c_str()), -1, -1, 0);
    const auto& signer = issuer != nullptr ? *issuer : made;
    X509_set_issuer_name(certificate, X509_get_subject_name(signer.certificate.get()));
    if (issuer == nullptr)
      extend(certificate, NID_basic_constraints, request.names);
    else if (!request.names.empty())
      extend(certificate, NID_subject_alt_name, request.names);
    REQUIRE(X509_sign(certificate, signer.key.get(), EVP_sha256()) > 0);
    return made;
  }

  static void extend(X509* certificate, int kind, const std::string& value) {
    std::unique_ptr<X509_EXTENSION, void (*)(X509_EXTENSION*)> extension(
        X509V3_EXT_conf_nid(nullptr, nullptr, kind, value.c_str()), X509_EXTENSION_free);
    REQUIRE(extension != nullptr);
    REQUIRE(X509_add_ext(certificate, extension.get(), -1) == 1);
  }

  identity self_;
};

}  // namespace roost::test
