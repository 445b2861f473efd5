// private: what came to one client of a test, what the test wants to find in it, and the words for
// both. The threads of the test look into it while the client's worker fills it.
#pragma once
#include "channels/channel.hpp"
#include "channels/testing.hpp"
#include "channels/testing/frames.hpp"
#include <condition_variable>
#include <mutex>

namespace roost::detail {

struct test_join {
  std::string topic;
  std::string join_ref;
  pid channel;
  std::optional<reply_with> answer;
  std::optional<exit_reason> ended;

  bool is_alive() const { return channel && !ended; }
};

/// The mutex is for all the rest.
struct test_inbox {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<received> messages;
  std::vector<std::shared_ptr<test_join>> joins;
  std::vector<std::string> sent;        // the event of each ref, which count from 1
  std::vector<std::string> subscribed;  // topics
  std::optional<int> closed;            // with this code
  bool socket_ended = false;
  pid socket;
  pid witness;

  void add(received message) {
    std::lock_guard guard{mutex};
    messages.push_back(std::move(message));
    changed.notify_all();
  }
  std::vector<pid> living() {
    std::lock_guard guard{mutex};
    std::vector<pid> all;
    if (!socket_ended) all.push_back(socket);
    for (auto& join : joins)
      if (join->is_alive()) all.push_back(join->channel);
    return all;
  }
  std::vector<pid> joining() {
    std::lock_guard guard{mutex};
    std::vector<pid> all;
    for (auto& join : joins)
      if (join->is_alive() && !join->answer) all.push_back(join->channel);
    return all;
  }
  void close(int code) {
    std::lock_guard guard{mutex};
    if (!closed) closed = code;
    changed.notify_all();
  }
};

struct wanted_message {
  came_as kind;
  const test_join* join;  // null: about any topic
  std::string_view ref;   // of a reply
  std::optional<std::string_view> name;
  const testing::matching* payload;

  bool fits(const received& message) const {
    if (message.expected || message.kind != kind) return false;
    if (!ref.empty() && message.ref != ref) return false;
    if (join != nullptr && message.topic != join->topic) return false;
    // A broadcast has no join_ref. What an earlier join of the topic was told is not for this one.
    if (join != nullptr && !message.join_ref.empty() && message.join_ref != join->join_ref)
      return false;
    return (!name || message.name == *name) && payload->fits(message.payload);
  }
};

// For what a failed expectation says. The caller holds the mutex.
std::string shown(const payload& payload);
std::string describe(const wanted_message& wanted, const test_inbox& inbox);
std::string describe(const received& message, const test_inbox& inbox);
/// All that came and was not expected yet, and what has ended.
std::string all_that_came(const test_inbox& inbox);

}  // namespace roost::detail
