#include "channels/transport/worker_buffers.hpp"
#include <memory>
#include <utility>
#include <vector>

namespace roost::detail {
namespace {

constexpr std::size_t read_size = 64 * 1024;
constexpr std::size_t smallest = 256;  // bytes of a buffer that is kept
constexpr std::size_t largest = 16 * 1024;
constexpr std::size_t most = 256;  // buffers

std::vector<std::string>& spare_buffers() {
  static thread_local std::vector<std::string> all;
  return all;
}

}  // namespace

std::span<char> read_buffer() {
  // JSON is read in blocks, which may reach behind its end.
  static thread_local std::unique_ptr<char[]> buffer{new char[read_size + 64]};
  return {buffer.get(), read_size};
}

void give_room(std::string& output) {
  if (!output.empty() || output.capacity() >= smallest) return;
  auto& spare = spare_buffers();
  if (spare.empty()) {
    output.reserve(smallest);
    return;
  }
  output = std::move(spare.back());
  spare.pop_back();
}

void take_room(std::string& output) {
  auto taken = std::exchange(output, {});
  auto& spare = spare_buffers();
  if (taken.capacity() < smallest || taken.capacity() > largest || spare.size() == most) return;
  taken.clear();
  spare.push_back(std::move(taken));
}

}  // namespace roost::detail
