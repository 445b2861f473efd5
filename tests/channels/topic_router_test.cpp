#include "channels/channel.hpp"
#include <doctest/doctest.h>

using namespace roost;

namespace {

struct quiet_channel {
  join_result join(std::string_view, const payload&, socket&) { return ok(); }
};
struct lobby_channel : quiet_channel {};

constexpr topic_router router{{
    {"room:lobby", channel<lobby_channel>},
    {"room:*", channel<quiet_channel>},
    {"exact", channel<quiet_channel>},
}};

// The router is data: what it finds is known to the compiler.
static_assert(router.find("room:42") == &channel<quiet_channel>);
static_assert(router.find("room:lobby") == &channel<lobby_channel>);
static_assert(router.find("room:") == &channel<quiet_channel>);
static_assert(router.find("room") == nullptr);
static_assert(router.find("exactly") == nullptr);

}  // namespace

TEST_CASE("the first pattern that fits wins, at run time too") {
  std::string topic = "room:";
  CHECK(router.find(topic + "x") == &channel<quiet_channel>);
  CHECK(router.find(topic + "lobby") == &channel<lobby_channel>);
  CHECK(router.find("nothing:here") == nullptr);
}

TEST_CASE("a channel type knows its name") {
  CHECK(channel<lobby_channel>.name.ends_with("lobby_channel"));
}
