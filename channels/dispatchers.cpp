#include "channels/dispatchers.hpp"
#include "channels/hub.hpp"
#include <mutex>
#include <shared_mutex>

namespace roost {
namespace detail {
namespace {

std::shared_mutex dispatchers_mutex;
topic_map<std::shared_ptr<const pub_sub_dispatcher>>& dispatchers() {
  static auto& all = *new topic_map<std::shared_ptr<const pub_sub_dispatcher>>;
  return all;
}

}  // namespace

std::shared_ptr<const pub_sub_dispatcher> find_dispatcher(std::string_view name) {
  if (name.empty()) return nullptr;
  std::shared_lock guard{dispatchers_mutex};
  auto found = dispatchers().find(name);
  return found == dispatchers().end() ? nullptr : found->second;
}

}  // namespace detail

void offer_dispatcher(std::string name, pub_sub_dispatcher dispatcher) {
  if (name.empty())
    throw std::invalid_argument("expected a dispatcher to have a name, got an empty one");
  std::lock_guard guard{detail::dispatchers_mutex};
  detail::dispatchers()[std::move(name)] =
      std::make_shared<const pub_sub_dispatcher>(std::move(dispatcher));
}

}  // namespace roost
