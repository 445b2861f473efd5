// channels/topic_router.hpp
//
// Which channel serves which topic, fixed at compile time. A pattern is a whole topic ("lobby") or
// a prefix followed by `*` ("room:*"); the first that fits wins. A `*` elsewhere, or a pattern that
// is claimed twice, does not compile.
//
//   struct user_socket {
//     static constexpr roost::topic_router channels{{
//         {"room:*", roost::channel<room_channel>},
//         {"lobby",  roost::channel<lobby_channel>},
//     }};
//   };
//   static_assert(user_socket::channels.find("room:42") != nullptr);
//
// Source: Phoenix.Socket, `channel/3`.
#pragma once
#include <cstddef>
#include <memory>
#include <string_view>
#include <utility>

namespace roost {

namespace detail {
class channel_process;
}

/// A channel's type, erased: its name and how to make one.
struct channel_type {
  std::string_view name;
  std::unique_ptr<detail::channel_process> (*make)();
};

struct topic_pattern {
  std::string_view text;

  consteval topic_pattern(const char* pattern) : text(pattern) {
    auto splat = text.find('*');
    if (splat != text.npos && splat + 1 != text.size())
      throw "a topic pattern's * must be its last character, as in \"room:*\"";
  }

  constexpr bool fits(std::string_view topic) const {
    if (text.ends_with('*')) return topic.starts_with(text.substr(0, text.size() - 1));
    return topic == text;
  }
};

struct channel_route {
  topic_pattern topic;
  const channel_type* type;

  consteval channel_route(const char* pattern, const channel_type& type)
      : topic(pattern), type(&type) {}
};

template <std::size_t N>
class topic_router {
 public:
  consteval topic_router(const channel_route (&routes)[N])
      : topic_router(routes, std::make_index_sequence<N>{}) {
    for (std::size_t i = 0; i < N; ++i)
      for (std::size_t j = i + 1; j < N; ++j)
        if (routes[i].topic.text == routes[j].topic.text)
          throw "two channels claim the same topic pattern";
  }

  /// The channel for the topic, or null.
  constexpr const channel_type* find(std::string_view topic) const {
    for (auto& route : routes_)
      if (route.topic.fits(topic)) return route.type;
    return nullptr;
  }

 private:
  template <std::size_t... I>
  consteval topic_router(const channel_route (&routes)[N], std::index_sequence<I...>)
      : routes_{routes[I]...} {}

  channel_route routes_[N];
};

}  // namespace roost
