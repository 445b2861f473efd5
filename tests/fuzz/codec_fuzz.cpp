// A libFuzzer target: bytes as a value of many kinds.
//
//   clang++-14 -std=c++20 -O1 -g -I. -fsanitize=fuzzer,address,undefined -o fuzz_codec \
//     tests/fuzz/codec_fuzz.cpp runtime/codec.cpp runtime/exit_reason.cpp runtime/names.cpp \
//     runtime/node_table.cpp
//   ./fuzz_codec -max_total_time=60
//
// What must hold: bytes are refused with a decode_error or make a value; memory stays within a
// small multiple of their number; and a value that was made gives bytes that make the same value
// again.
#include "runtime/codec.hpp"
#include "runtime/node_table.hpp"
#include <sanitizer/allocator_interface.h>
#include <array>
#include <cstdlib>
#include <deque>
#include <list>
#include <map>
#include <set>
#include <vector>

namespace {

using namespace roost;
using detail::wire_buffer;
using detail::wire_reader;
using detail::wire_writer;

enum class colour : std::int16_t { red, green };
struct nothing {};
struct leaf {
  std::string text = "a leaf";
  std::int32_t number = 7;
  std::optional<std::uint16_t> small = {};
};
struct tree {
  std::vector<tree> children = {};
  std::map<std::string, tree> named = {};
  std::variant<std::monostate, bool, double, std::string, std::vector<leaf>> value = {};
};
struct chain {
  std::unique_ptr<chain> next = {};
  std::shared_ptr<const leaf> shared = {};
};
struct sample {
  std::uint64_t largest = 0;
  std::int64_t large = 0;
  float real = 0;
  colour paint = colour::red;
  std::vector<bool> bits = {};
  std::vector<std::uint8_t> bytes = {};
  std::vector<std::string> lines = {};
  std::deque<std::pair<int, leaf>> pairs = {};
  std::list<std::tuple<char, nothing>> tuples = {};
  std::array<std::optional<leaf>, 2> array = {};
  std::set<std::string> names = {};
  std::chrono::microseconds length{0};
  std::chrono::system_clock::time_point when = {};
  pid process = {};
  reference ref = {};
  exit_reason reason = {};
  tree root = {};
  chain links = {};
};

// What an older and a newer version of this program know of it.
struct older {
  std::uint64_t largest = 0;
  std::int64_t large = 0;
};
struct newer {
  older nested = {};
  sample value = {};
  std::string more = "more";
};

void require(bool condition) {
  if (!condition) std::abort();
}

std::size_t before;
std::size_t most;
void count_memory(const volatile void*, std::size_t) {
  auto now = __sanitizer_get_current_allocated_bytes();
  if (now > before) most = std::max(most, now - before);
}

template <class T>
bool read(std::string_view bytes, T& value, std::uint32_t sender = 0) {
  try {
    // Kept apart from everything else, so that reading past its end shows.
    std::vector<char> copy(bytes.begin(), bytes.end());
    wire_reader in{{copy.data(), copy.size()}, sender};
    detail::decode_root(in, value);
    return true;
  } catch (const decode_error&) {
    return false;
  }
}

template <class T>
std::string written(const T& value) {
  wire_buffer buffer;
  wire_writer out{buffer};
  detail::encode_root(out, value);
  return std::string(buffer.view());
}

template <class T>
void check(std::string_view bytes) {
  T first;
  auto peer = detail::node_number("peer@there", 3);
  before = __sanitizer_get_current_allocated_bytes();
  most = 0;
  auto made = read(bytes, first, peer);
  require(most <= 2'000 * bytes.size() + (std::size_t{2} << 20));
  if (!made) return;
  auto there = written(first);
  T second;
  require(read(there, second));
  require(written(second) == there);
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  detail::name_this_node("me@here");
  require(__sanitizer_install_malloc_and_free_hooks(count_memory, [](const volatile void*) {}) > 0);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view bytes{reinterpret_cast<const char*>(data), size};
  check<sample>(bytes);
  check<older>(bytes);
  check<newer>(bytes);
  check<tree>(bytes);
  check<std::variant<leaf, chain, exit_reason>>(bytes);
  check<std::vector<std::map<int, std::optional<leaf>>>>(bytes);
  return 0;
}
