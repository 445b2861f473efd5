#include "runtime/discovery/heartbeat.hpp"
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <algorithm>
#include <memory>
#include <stdexcept>

namespace roost::discovery {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds wanted_for{15'000};
constexpr std::size_t most_nodes = 10'000;
constexpr std::string_view magic = "roost1";
constexpr std::size_t nonce_size = 12;
constexpr std::size_t tag_size = 16;
constexpr std::size_t time_size = 8;
constexpr std::uint64_t latest = 9'000'000'000'000;  // milliseconds: the year 2255
constexpr std::size_t frame_size = magic.size() + nonce_size + tag_size;

struct cipher_deleter {
  void operator()(EVP_CIPHER_CTX* it) const { EVP_CIPHER_CTX_free(it); }
};
struct kdf_deleter {
  void operator()(EVP_KDF* it) const { EVP_KDF_free(it); }
};
struct kdf_context_deleter {
  void operator()(EVP_KDF_CTX* it) const { EVP_KDF_CTX_free(it); }
};

using cipher = std::unique_ptr<EVP_CIPHER_CTX, cipher_deleter>;

const unsigned char* bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}
unsigned char* bytes(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }

void check(bool worked, const char* what) {
  if (!worked) throw std::runtime_error(std::string("expected OpenSSL to ") + what);
}

OSSL_PARAM octets(const char* name, std::string_view value) {
  return OSSL_PARAM_construct_octet_string(name, const_cast<char*>(value.data()), value.size());
}

cipher start(const heartbeat_key& key, std::string_view nonce, bool encrypt) {
  cipher context(EVP_CIPHER_CTX_new());
  check(
      context && EVP_CipherInit_ex(
                     context.get(), EVP_aes_256_gcm(), nullptr, key.data(), bytes(nonce),
                     encrypt ? 1 : 0) == 1,
      "start AES-256-GCM");
  int size = 0;
  check(
      EVP_CipherUpdate(
          context.get(), nullptr, &size, bytes(magic), static_cast<int>(magic.size())) == 1,
      "authenticate");
  return context;
}

std::string encode(const heartbeat& heartbeat) {
  auto time = static_cast<std::uint64_t>(
      std::chrono::duration_cast<milliseconds>(heartbeat.sent.time_since_epoch()).count());
  std::string plain;
  for (int shift = 56; shift >= 0; shift -= 8) plain += static_cast<char>(time >> shift & 0xff);
  return plain + heartbeat.node;
}

heartbeat decode(std::string_view plain) {
  std::uint64_t time = 0;
  for (std::size_t i = 0; i < time_size; ++i)
    time = time << 8 | static_cast<unsigned char>(plain[i]);
  // Whoever has the key may still write a time that the clock cannot hold.
  milliseconds since(static_cast<std::int64_t>(std::min(time, latest)));
  return {std::string(plain.substr(time_size)), std::chrono::system_clock::time_point(since)};
}

}  // namespace

heartbeat_key derive_heartbeat_key(std::string_view secret) {
  std::unique_ptr<EVP_KDF, kdf_deleter> kdf(EVP_KDF_fetch(nullptr, "HKDF", nullptr));
  std::unique_ptr<EVP_KDF_CTX, kdf_context_deleter> context(
      kdf ? EVP_KDF_CTX_new(kdf.get()) : nullptr);
  check(context != nullptr, "know HKDF");
  std::array<OSSL_PARAM, 4> parameters{
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, const_cast<char*>("SHA256"), 0),
      octets(OSSL_KDF_PARAM_KEY, secret), octets(OSSL_KDF_PARAM_INFO, "roost gossip heartbeat 1"),
      OSSL_PARAM_construct_end()};
  heartbeat_key key{};
  check(
      EVP_KDF_derive(context.get(), key.data(), key.size(), parameters.data()) == 1,
      "derive a key");
  return key;
}

std::string seal_heartbeat(const heartbeat_key& key, const heartbeat& heartbeat) {
  auto plain = encode(heartbeat);
  if (plain.size() + frame_size > largest_heartbeat)
    throw std::runtime_error(
        "expected the name of a node to fit into a heartbeat, got " +
        std::to_string(heartbeat.node.size()) + " bytes");
  std::string nonce(nonce_size, '\0');
  check(RAND_bytes(bytes(nonce), static_cast<int>(nonce_size)) == 1, "make random bytes");
  auto context = start(key, nonce, true);
  std::string sealed(plain.size(), '\0');
  std::string tag(tag_size, '\0');
  int size = 0;
  check(
      EVP_CipherUpdate(
          context.get(), bytes(sealed), &size, bytes(plain), static_cast<int>(plain.size())) == 1 &&
          EVP_CipherFinal_ex(context.get(), bytes(sealed) + size, &size) == 1 &&
          EVP_CIPHER_CTX_ctrl(
              context.get(), EVP_CTRL_AEAD_GET_TAG, static_cast<int>(tag_size), tag.data()) == 1,
      "encrypt");
  return std::string(magic) + nonce + sealed + tag;
}

std::optional<heartbeat> open_heartbeat(const heartbeat_key& key, std::string_view packet) {
  if (packet.size() < frame_size + time_size || packet.size() > largest_heartbeat ||
      !packet.starts_with(magic))
    return std::nullopt;
  auto nonce = packet.substr(magic.size(), nonce_size);
  auto sealed = packet.substr(magic.size() + nonce_size, packet.size() - frame_size);
  std::string tag(packet.substr(packet.size() - tag_size));
  auto context = start(key, nonce, false);
  std::string plain(sealed.size(), '\0');
  int size = 0;
  bool genuine =
      EVP_CipherUpdate(
          context.get(), bytes(plain), &size, bytes(sealed), static_cast<int>(sealed.size())) ==
          1 &&
      EVP_CIPHER_CTX_ctrl(
          context.get(), EVP_CTRL_AEAD_SET_TAG, static_cast<int>(tag_size), tag.data()) == 1 &&
      EVP_CipherFinal_ex(context.get(), bytes(plain) + size, &size) == 1;
  if (!genuine) return std::nullopt;
  return decode(plain);
}

void heard_nodes::note(const std::string& node, time_point now) {
  if (last_.size() < most_nodes || last_.contains(node)) last_[node] = now;
}

std::vector<std::string> heard_nodes::current(time_point now) {
  std::erase_if(last_, [&](auto& each) { return now - each.second > wanted_for; });
  std::vector<std::string> nodes;
  for (auto& [node, when] : last_) nodes.push_back(node);
  return nodes;
}

}  // namespace roost::discovery
