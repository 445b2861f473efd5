// A libFuzzer target: any bytes as a broadcast that came from Redis.
//
//   clang++-14 -std=c++20 -O1 -g -I. -fsanitize=fuzzer,address,undefined \
//     tests/fuzz/redis_envelope_fuzz.cpp channels/redis_envelope.cpp channels/json.cpp \
//     channels/json_scanner.cpp channels/payload.cpp runtime/codec.cpp runtime/exit_reason.cpp \
//     runtime/names.cpp runtime/node_table.cpp -lsimdjson -o redis_envelope_fuzz
//   ./redis_envelope_fuzz -max_total_time=60
//
// What must hold: no access outside the bytes that came; what was read and is written again is the
// same bytes; JSON is JSON.
#include "channels/redis_envelope.hpp"
#include <cstdlib>
#include <vector>

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::vector<char> exact(data, data + size);
  const std::string_view bytes{exact.data(), exact.size()};
  auto envelope = roost::detail::read_envelope(bytes);
  if (!envelope) return 0;
  require(size_of(*envelope) == size);
  std::string again;
  append(again, *envelope);
  require(again == bytes);
  using kinds = roost::detail::redis_envelope::kinds;
  if (envelope->kind == kinds::gap) {
    auto duration = duration_of(*envelope);
    require(!duration || duration->count() >= 0);
    return 0;
  }
  auto payload = payload_of(*envelope);
  require(payload || envelope->kind == kinds::json);
  if (payload) require(payload->contents() == envelope->contents);
  if (payload && payload->is_json()) payload->value();
  return 0;
}
