#include "channels/token.hpp"
#include "channels/base64.hpp"
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <mutex>
#include <stdexcept>

namespace roost {

using detail::from_base64url;
using detail::to_base64url;

namespace {

using clock = std::chrono::system_clock;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::size_t shortest_secret = 20;
constexpr std::size_t key_size = 32;
constexpr std::size_t iv_size = 12;
constexpr std::size_t tag_size = 16;
constexpr std::size_t most_keys_kept = 256;  // salts are few, unless somebody makes them up
constexpr std::size_t longest_token = 1 << 20;
constexpr seconds default_max_age{86'400};

// base64url of "HS256" and "A256GCM", as Plug.Crypto begins its messages.
constexpr std::string_view signed_header = "SFMyNTY";
constexpr std::string_view encrypted_header = "QTI1NkdDTQ";

using key = std::array<unsigned char, key_size>;

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}
unsigned char* bytes_of(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }

// --- cryptography --------------------------------------------------------------------------------

[[noreturn]] void failed(const char* what) {
  throw std::runtime_error(std::string("expected OpenSSL to ") + what + ", got an error");
}

std::string mac(const key& key, std::string_view text) {
  std::string out(32, '\0');
  unsigned int size = 0;
  if (HMAC(
          EVP_sha256(), key.data(), static_cast<int>(key.size()), bytes_of(text), text.size(),
          bytes_of(out), &size) == nullptr)
    failed("sign");
  return out;
}

bool same(std::string_view one, std::string_view other) {
  return one.size() == other.size() && CRYPTO_memcmp(one.data(), other.data(), one.size()) == 0;
}

struct cipher_deleter {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
using cipher = std::unique_ptr<EVP_CIPHER_CTX, cipher_deleter>;

struct sealed {
  std::string iv;
  std::string text;
  std::string tag;
};

sealed seal(const key& key, std::string_view plain) {
  sealed out{
      std::string(iv_size, '\0'), std::string(plain.size(), '\0'), std::string(tag_size, '\0')};
  if (RAND_bytes(bytes_of(out.iv), iv_size) != 1) failed("give random bytes");
  cipher context(EVP_CIPHER_CTX_new());
  int size = 0;
  bool ok = context &&
            EVP_EncryptInit_ex(
                context.get(), EVP_aes_256_gcm(), nullptr, key.data(), bytes_of(out.iv)) == 1 &&
            EVP_EncryptUpdate(
                context.get(), nullptr, &size, bytes_of(encrypted_header),
                static_cast<int>(encrypted_header.size())) == 1 &&
            EVP_EncryptUpdate(
                context.get(), bytes_of(out.text), &size, bytes_of(plain),
                static_cast<int>(plain.size())) == 1 &&
            EVP_EncryptFinal_ex(context.get(), bytes_of(out.text) + size, &size) == 1 &&
            EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG, tag_size, out.tag.data()) == 1;
  if (!ok) failed("encrypt");
  return out;
}

std::optional<std::string> unseal(const key& key, sealed in) {
  if (in.iv.size() != iv_size || in.tag.size() != tag_size) return std::nullopt;
  std::string plain(in.text.size() + 1, '\0');  // never empty, so that it has an address
  cipher context(EVP_CIPHER_CTX_new());
  int size = 0;
  int rest = 0;
  bool ok =
      context &&
      EVP_DecryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, key.data(), bytes_of(in.iv)) ==
          1 &&
      EVP_DecryptUpdate(
          context.get(), nullptr, &size, bytes_of(encrypted_header),
          static_cast<int>(encrypted_header.size())) == 1 &&
      EVP_DecryptUpdate(
          context.get(), bytes_of(plain), &size, bytes_of(in.text),
          static_cast<int>(in.text.size())) == 1 &&
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_SET_TAG, tag_size, in.tag.data()) == 1 &&
      EVP_DecryptFinal_ex(context.get(), bytes_of(plain) + size, &rest) == 1;
  if (!ok) return std::nullopt;
  plain.resize(in.text.size());
  return plain;
}

// --- what is inside ------------------------------------------------------------------------------

std::string contents_of(const json& data, const token_options& options) {
  auto at = options.signed_at.value_or(clock::now()).time_since_epoch();
  json contents{
      {"data", data}, {"signed_at", std::chrono::duration_cast<milliseconds>(at).count()}};
  if (options.max_age) contents["max_age"] = options.max_age->count();
  return contents.dump();
}

/// Of text that only an owner of the secret can have made, though maybe not as a token.
token_result read(std::string_view text, const token_options& options) {
  auto parsed = json::parse(text);
  if (!parsed || !(*parsed)["signed_at"].is_int()) return {.error = token_error::invalid};
  auto& contents = *parsed;
  auto said =
      contents["max_age"].is_int() ? seconds(contents["max_age"].as_int()) : default_max_age;
  auto max_age = options.max_age.value_or(said);
  std::chrono::duration<double, std::milli> signed_at(contents["signed_at"].as_double());
  bool is_expired = max_age <= seconds::zero() || (max_age != token_options::forever &&
                                                   clock::now().time_since_epoch() - signed_at >
                                                       std::chrono::duration<double>(max_age));
  if (is_expired) return {.error = token_error::expired};
  return {.data = contents["data"]};
}

/// The parts between the dots, if there are as many.
template <std::size_t Count>
std::optional<std::array<std::string_view, Count>> split(std::string_view text) {
  std::array<std::string_view, Count> parts;
  for (std::size_t i = 0; i < Count; ++i) {
    auto dot = text.find('.');
    if ((dot == text.npos) != (i + 1 == Count)) return std::nullopt;
    parts[i] = text.substr(0, dot);
    text.remove_prefix(dot == text.npos ? text.size() : dot + 1);
  }
  return parts;
}

const EVP_MD* digest_of(const std::string& name) {
  if (name == "sha256") return EVP_sha256();
  if (name == "sha384") return EVP_sha384();
  if (name == "sha512") return EVP_sha512();
  throw std::invalid_argument(
      "expected the digest of a token to be sha256, sha384 or sha512, got " + name);
}

}  // namespace

std::string_view to_string(token_error error) noexcept {
  switch (error) {
    case token_error::none:
      return "none";
    case token_error::missing:
      return "missing";
    case token_error::invalid:
      return "invalid";
    case token_error::expired:
      return "expired";
  }
  return "unknown";
}

/// The secrets, the newest first, and the keys made of them: PBKDF2 is slow on purpose.
struct token_keys::derived {
  std::vector<std::string> secrets;
  int iterations;
  const EVP_MD* digest;

  std::mutex mutex = {};
  std::map<std::pair<std::size_t, std::string>, key> kept = {};

  key of(std::size_t secret, std::string_view salt) {
    std::pair name(secret, std::string(salt));
    {
      std::lock_guard guard{mutex};
      if (auto found = kept.find(name); found != kept.end()) return found->second;
    }
    key made;
    auto& text = secrets[secret];
    if (PKCS5_PBKDF2_HMAC(
            text.data(), static_cast<int>(text.size()), bytes_of(salt),
            static_cast<int>(salt.size()), iterations, digest, key_size, made.data()) != 1)
      failed("derive a key");
    std::lock_guard guard{mutex};
    if (kept.size() < most_keys_kept) kept.emplace(std::move(name), made);
    return made;
  }
};

token_keys::token_keys(
    std::string secret_key_base, std::vector<std::string> older, token_key_options options) {
  std::vector<std::string> secrets{std::move(secret_key_base)};
  for (auto& one : older) secrets.push_back(std::move(one));
  for (auto& one : secrets)
    if (one.size() < shortest_secret)
      throw std::invalid_argument(
          "expected secret_key_base to have at least 20 bytes, got " + std::to_string(one.size()));
  if (options.key_iterations < 1 || options.key_iterations > 10'000'000)
    throw std::invalid_argument(
        "expected key_iterations to be 1 to 10000000, got " +
        std::to_string(options.key_iterations));
  keys_ = std::shared_ptr<derived>(
      new derived{std::move(secrets), options.key_iterations, digest_of(options.digest)});
}

std::string token_keys::sign(std::string_view salt, const json& data, token_options options) const {
  auto text = std::string(signed_header) + "." + to_base64url(contents_of(data, options));
  return text + "." + to_base64url(mac(keys_->of(0, salt), text));
}

token_result token_keys::verify(
    std::string_view salt, std::string_view token, token_options options) const {
  if (token.empty()) return {.error = token_error::missing};
  if (token.size() > longest_token) return {.error = token_error::invalid};
  auto parts = split<3>(token);
  if (!parts || (*parts)[0] != signed_header) return {.error = token_error::invalid};
  auto signature = from_base64url((*parts)[2]);
  auto contents = from_base64url((*parts)[1]);
  if (!signature || !contents) return {.error = token_error::invalid};
  auto text = token.substr(0, token.rfind('.'));
  for (std::size_t i = 0; i < keys_->secrets.size(); ++i)
    if (same(mac(keys_->of(i, salt), text), *signature)) return read(*contents, options);
  return {.error = token_error::invalid};
}

std::string token_keys::encrypt(
    std::string_view salt, const json& data, token_options options) const {
  auto out = seal(keys_->of(0, salt), contents_of(data, options));
  return std::string(encrypted_header) + "." + to_base64url(out.iv) + "." + to_base64url(out.text) +
         "." + to_base64url(out.tag);
}

token_result token_keys::decrypt(
    std::string_view salt, std::string_view token, token_options options) const {
  if (token.empty()) return {.error = token_error::missing};
  if (token.size() > longest_token) return {.error = token_error::invalid};
  auto parts = split<4>(token);
  if (!parts || (*parts)[0] != encrypted_header) return {.error = token_error::invalid};
  auto iv = from_base64url((*parts)[1]);
  auto text = from_base64url((*parts)[2]);
  auto tag = from_base64url((*parts)[3]);
  if (!iv || !text || !tag) return {.error = token_error::invalid};
  for (std::size_t i = 0; i < keys_->secrets.size(); ++i)
    if (auto plain = unseal(keys_->of(i, salt), {*iv, *text, *tag})) return read(*plain, options);
  return {.error = token_error::invalid};
}

}  // namespace roost
