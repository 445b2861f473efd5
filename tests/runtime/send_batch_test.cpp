// What a worker sends at the end of its turn: in one system call where it can, with the same
// results as one by one.
#include "runtime/flush_list.hpp"
#include "tests/support.hpp"
#include <sys/socket.h>
#include <unistd.h>
#include <cerrno>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace {

using namespace roost::detail;

class sender final : public flushable {
 public:
  sender() {
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
    fd = ends[0];
    other = ends[1];
  }
  ~sender() override {
    ::close(fd);
    if (other >= 0) ::close(other);
  }
  void flush() override {}
  void on_sent(int count) override {
    CHECK_FALSE(in_batch);
    result = count;
    if (then) then();
  }

  void put_into(send_batch& batch) { batch.add(fd, bytes, *this); }
  std::string received() const {
    std::string all(1'000'000, '\0');
    auto count = ::recv(other, all.data(), all.size(), 0);
    all.resize(count < 0 ? 0 : static_cast<std::size_t>(count));
    return all;
  }
  void fill() const {
    std::string much(1'000'000, 'x');
    while (::send(fd, much.data(), much.size(), MSG_DONTWAIT) > 0) continue;
  }
  void hang_up() { ::close(std::exchange(other, -1)); }

  std::string bytes;
  std::optional<int> result;
  std::function<void()> then;
  int fd;
  int other;
};

std::vector<sender> many(std::size_t count) {
  std::vector<sender> all(count);
  for (std::size_t i = 0; i < count; ++i) all[i].bytes = "to " + std::to_string(i);
  return all;
}

/// Each story is told twice: with io_uring, where this machine has it, and without.
template <class F>
void in_both_ways(F story) {
  for (bool io_uring : {true, false}) {
    CAPTURE(io_uring);
    send_batch::allow_io_uring(io_uring);
    story();
  }
  send_batch::allow_io_uring(true);
}

}  // namespace

TEST_CASE("each socket gets its own bytes, however many there are") {
  in_both_ways([] {
    send_batch batch;
    for (std::size_t count : {1, 2, 3, 63, 64, 65, 200}) {
      CAPTURE(count);
      auto senders = many(count);
      for (auto& one : senders) one.put_into(batch);
      batch.submit();
      for (auto& one : senders) {
        CHECK(one.result == static_cast<int>(one.bytes.size()));
        CHECK(one.received() == one.bytes);
      }
    }
  });
}

TEST_CASE(
    "a socket that is full, and one whose other end is gone, are told so; others get theirs") {
  in_both_ways([] {
    send_batch batch;
    auto senders = many(10);
    senders[3].fill();
    senders[5].hang_up();
    for (auto& one : senders) one.put_into(batch);
    batch.submit();
    for (std::size_t i = 0; i < senders.size(); ++i) {
      CAPTURE(i);
      if (i == 3) {
        CHECK(senders[i].result == -EAGAIN);
      } else if (i == 5) {
        CHECK(senders[i].result == -EPIPE);
      } else {
        CHECK(senders[i].received() == senders[i].bytes);
      }
    }
  });
}

TEST_CASE("of more than the kernel has room for, it takes a part") {
  in_both_ways([] {
    send_batch batch;
    auto senders = many(5);
    for (auto& one : senders) one.bytes.assign(10'000'000, 'y');
    for (auto& one : senders) one.put_into(batch);
    batch.submit();
    for (auto& one : senders) {
      REQUIRE(one.result);
      CHECK(*one.result > 0);
      CHECK(*one.result < 10'000'000);
    }
  });
}

TEST_CASE("who is told may ask that all others are told first") {
  in_both_ways([] {
    send_batch batch;
    auto senders = many(20);
    senders[7].then = [&] {
      CHECK(senders[19].in_batch);
      batch.submit();
      for (auto& one : senders) CHECK(one.result);
    };
    for (auto& one : senders) one.put_into(batch);
    batch.submit();
    CHECK(senders[7].result);

    // … and the batch goes on as before.
    for (auto& one : senders) one.result.reset();
    senders[7].then = nullptr;
    for (auto& one : senders) one.put_into(batch);
    batch.submit();
    for (auto& one : senders) CHECK(one.result == static_cast<int>(one.bytes.size()));
  });
}
