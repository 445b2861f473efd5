// A libFuzzer target: any bytes as what a Redis says.
//
//   clang++-14 -std=c++20 -O1 -g -I. -fsanitize=fuzzer,address,undefined \
//     tests/fuzz/resp_fuzz.cpp runtime/net/resp.cpp -lhiredis -o resp_fuzz
//   ./resp_fuzz -max_total_time=60
//
// What must hold: malformed bytes are a resp_error and nothing else; the limits are kept; how the
// bytes are cut makes no difference; a command is read back as the words it was made of.
#include "runtime/net/resp.hpp"
#include <algorithm>
#include <cstdlib>

namespace {

using namespace roost::net;

constexpr resp_limits limits{.max_bytes = 256, .max_elements = 16};

void require(bool condition) {
  if (!condition) std::abort();
}

struct size {
  std::size_t bytes = 0;
  std::size_t elements = 0;
};

void measure(const resp_value& value, size& all) {
  all.bytes += value.text.size();
  all.elements += value.elements.size();
  for (auto& one : value.elements) measure(one, all);
}

struct outcome {
  std::vector<resp_value> values;
  bool malformed = false;
};

outcome read(std::string_view bytes, std::size_t step) {
  outcome result;
  resp_reader reader(limits);
  try {
    while (!bytes.empty()) {
      auto piece = bytes.substr(0, std::min(step, bytes.size()));
      bytes.remove_prefix(piece.size());
      reader.feed(piece);
      for (resp_value value; reader.next(value);) {
        size all;
        measure(value, all);
        require(all.bytes <= limits.max_bytes && all.elements <= limits.max_elements);
        result.values.push_back(value);
      }
    }
  } catch (const resp_error&) {
    result.malformed = true;
  }
  return result;
}

void check_command(std::string_view bytes) {
  auto middle = bytes.substr(0, bytes.size() / 2);
  auto command = resp_command({middle, bytes.substr(middle.size())});
  resp_reader reader;
  reader.feed(command);
  resp_value value;
  require(reader.next(value) && value.elements.size() == 2);
  require(value.elements[0].text == middle);
  require(value.elements[1].text == bytes.substr(middle.size()));
  require(!reader.next(value));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::vector<char> exact(data, data + size);
  const std::string_view bytes{exact.data(), exact.size()};
  auto whole = read(bytes, std::max<std::size_t>(size, 1));
  auto pieces = read(bytes, 1);
  // In pieces the limit on what is not whole yet may be hit where the whole was none the wiser.
  auto common = std::min(whole.values.size(), pieces.values.size());
  require(std::equal(
      whole.values.begin(), whole.values.begin() + static_cast<long>(common),
      pieces.values.begin()));
  if (!whole.malformed && !pieces.malformed) require(whole.values.size() == pieces.values.size());
  check_command(bytes);
  return 0;
}
