// A libFuzzer target: what another node may send on a link, before and after it has said who it is.
//
// The first byte says which side of the handshake is under test, or that the link is up already;
// the second one how many bytes come at a time. The rest is what comes: split into frames, the
// handshake's answered, those of the link read as signals with their values and put together from
// fragments, as node_link.cpp does.
//
// What must hold: bytes are refused with a decode_error or understood; memory stays within what the
// link may hold and a small multiple of what came; and a signal that was understood gives bytes
// that say the same.
#include "runtime/distribution/handshake.hpp"
#include "runtime/distribution/lanes.hpp"
#include "runtime/node_table.hpp"
#include "runtime/process_core.hpp"
#include <sanitizer/allocator_interface.h>
#include <cstdlib>
#include <map>
#include <optional>
#include <vector>

namespace {

using namespace roost;
using namespace roost::detail;

struct order {
  static constexpr std::string_view wire_name = "o";
  std::string text = "an order";
  std::optional<std::int32_t> number = {};
  std::vector<std::string> lines = {};
  std::map<std::string, pid> processes = {};
};

// Small, so that short inputs can try to have more.
constexpr std::size_t largest_message = 300;

void require(bool condition) {
  if (!condition) std::abort();
}

std::size_t before;
std::size_t most;
void count_memory(const volatile void*, std::size_t) {
  auto now = __sanitizer_get_current_allocated_bytes();
  if (now > before) most = std::max(most, now - before);
}

std::uint32_t other() { return node_number("peer@there", 3); }

std::string written(pid to, const message& message) {
  wire_buffer buffer;
  wire_writer out{buffer, other()};
  put_signal(out, to, message);
  return std::string(buffer.view());
}

/// Values need not come back byte for byte, since the other node may know fields that this one does
/// not; what is written from what was read has to.
void check_signal(std::string_view body) {
  auto signal = take_signal(body, other());
  if (!signal.message || signal.from) return;
  auto to = signal.name.empty() ? signal.to : pid{};
  if (!to || !can_travel(*signal.message)) return;
  auto first = written(to, *signal.message);
  auto again = take_signal(first, other());
  require(again.message != nullptr && again.kind == signal.kind && again.to == to);
}

class end {
 public:
  enum class state { shaking, up };

  end(bool up, handshake::side side) : handshake_(side, mine(), expected(side)) {
    if (up) state_ = state::up;
    if (!up && side == handshake::side::client) handshake_.start(out_);
  }

  void take(std::string_view bytes) {
    in_.append(bytes);
    std::string_view left = in_;
    while (auto frame = take_frame(left, state_ == state::up ? largest_frame : largest_hello)) {
      if (state_ == state::up)
        take_frame_of_peer(*frame);
      else
        shake(*frame);
    }
    in_.erase(0, in_.size() - left.size());
    require(in_.size() < 4 + largest_frame);
    require(streams_.size() <= largest_message);
  }

 private:
  static hello mine() { return {.node = "me@here", .incarnation = 5}; }
  static std::string expected(handshake::side side) {
    return side == handshake::side::client ? "peer@there" : "";
  }

  void shake(const frame& frame) {
    auto step = handshake_.received(frame, out_);
    if (step == handshake::step::decide) {
      require(!handshake_.peer().node.empty());
      auto code = arbitrate({.own_name = "me@here", .peer_name = handshake_.peer().node});
      step = handshake_.answer({code, "no reason"}, out_);
    }
    if (step == handshake::step::refused) throw decode_error("expected to be taken, got refused");
    if (step == handshake::step::waits) throw decode_error("expected to go on, got told to wait");
    if (step == handshake::step::up) state_ = state::up;
    require(out_.size() < 16 * 1024);
  }

  void take_frame_of_peer(const frame& frame) {
    switch (frame.type) {
      case frame_type::signal:
        return check_signal(frame.body);
      case frame_type::fragment:
        if (auto whole = streams_.take(frame.body)) check_signal(*whole);
        return;
      case frame_type::type_name:
      case frame_type::nodes:
      case frame_type::lost:
      case frame_type::tick:
        return;
      default:
        throw decode_error("expected a known frame, got another one");
    }
  }

  handshake handshake_;
  incoming_streams streams_{largest_message};
  state state_ = state::shaking;
  std::string in_;
  std::string out_;
};

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  name_this_node("me@here");
  // Registers the type.
  make_message<order>(message_kind::info, order{});
  require(__sanitizer_install_malloc_and_free_hooks(count_memory, [](const volatile void*) {}) > 0);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  std::string_view bytes{reinterpret_cast<const char*>(data) + 2, size - 2};
  auto side = (data[0] & 1) != 0 ? handshake::side::client : handshake::side::server;
  std::size_t step = data[1] == 0 ? bytes.size() : data[1];
  before = __sanitizer_get_current_allocated_bytes();
  most = 0;
  try {
    end link{(data[0] & 2) != 0, side};
    for (std::size_t at = 0; at < bytes.size(); at += step) link.take(bytes.substr(at, step));
  } catch (const decode_error&) {
  }
  require(most <= 2'000 * size + (std::size_t{2} << 20));
  return 0;
}
