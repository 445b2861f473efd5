// A broadcast costs the node one encoding, and nothing on the heap for each socket that gets it.
#include "channels/endpoint.hpp"
#include "supervision/supervisor.hpp"
#include "tests/channels/test_client.hpp"
#include "tests/support.hpp"
#include <cstdlib>
#include <new>

namespace {

std::atomic<bool> counting{false};
std::atomic<std::uint64_t> allocations{0};
thread_local bool is_client = false;

}  // namespace

// Those of the whole program; inlined, the compiler took them for a mismatch.
[[gnu::noinline]] void* operator new(std::size_t size) {
  if (counting && !is_client) ++allocations;
  if (auto* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

using namespace roost;
using namespace roost::test;

namespace {

struct fan_channel {
  join_result join(std::string_view, const payload&, roost::socket&) { return ok(); }
};

struct fan_socket {
  static constexpr topic_router channels{{{"room:*", channel<fan_channel>}}};
  static connect_result<fan_socket> connect(const params&, const connect_info&) {
    return fan_socket{};
  }
};

TEST_CASE("a broadcast allocates nothing for each of 2,000 sockets") {
  constexpr int sockets = 2000, broadcasts = 20;
  is_client = true;
  node node;
  roost::start_link(supervisor_spec{
      .children = {
          child<pub_sub>({.name = "fan"}),
          child<endpoint>(
              {.pub_sub = "fan",
               .http = {.port = 0},
               .check_origin = false,
               .sockets = {socket_at<fan_socket>("/socket", {.log = false})}})}});
  std::vector<std::unique_ptr<test_client>> clients;
  for (int i = 0; i < sockets; ++i) {
    clients.push_back(std::make_unique<test_client>(endpoint_port()));
    clients.back()->send(R"(["1","1","room:fan","phx_join",{}])");
    clients.back()->receive();
  }
  auto round = [&] {
    spawn([] { broadcast("fan", "room:fan", "news", {{"body", "hello"}}); });
    for (auto& client : clients) CHECK(client->receive().find("news") != std::string::npos);
  };
  round();  // lists of the workers grow to their size

  counting = true;
  for (int i = 0; i < broadcasts; ++i) round();
  counting = false;
  INFO("allocations of all workers: ", allocations.load());
  CHECK(allocations.load() < broadcasts * 100);
  MESSAGE("allocations for a broadcast to 2,000 sockets: ", allocations.load() / broadcasts);
}

}  // namespace
