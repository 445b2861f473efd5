// runtime/registry.hpp
//
// Names of your own for processes: a key has one owner (unique) or many (duplicate), each with a
// value of any type. Processes register themselves, and their entries go away when they end.
//
//   roost::child<roost::registry>({.name = "rooms", .keys = roost::registry::unique})
//
//   roost::registry rooms{"rooms"};                     // a handle; costs nothing
//   if (auto done = rooms.register_name("lobby"); !done) … done.owner() …   // in a process
//   pid lobby = rooms.whereis_name("lobby");
//   roost::start_link<room>({.name = roost::via("rooms", "lobby")});        // registers by itself
//   roost::call(roost::server<room>{roost::via("rooms", "lobby")}, room::members{})
//
//   roost::registry topics{"topics"};                   // .keys = roost::registry::duplicate
//   topics.register_name("news", subscriber{.fast = true});
//   topics.dispatch<subscriber>("news", [](auto& entries) { for (auto& e : entries) … });
//
// Guarantees. A unique key has one owner at a time. Who reads right after a process has ended does
// not see it any more; its entries are removed a moment later. A process is linked to the
// registries where it has entries: a registry that crashes takes them with it, so that they
// register again when their supervisors start them again.
//
// Errors. A name of no registry throws std::invalid_argument, and so does a value of another type
// than the one asked for. A key that is taken is an answer, not an error.
//
// Thread safety: read from anywhere; register, unregister and update in the process that owns the
// entry. Functions given to a registry run in the caller, and may use the registry.
// Source: Elixir Registry.
#pragma once
#include "runtime/spawn.hpp"
#include <concepts>
#include <vector>

namespace roost {

namespace detail {

class registry_table;

/// One static instance per C++ type of value.
struct value_type { std::string_view name; };
template <class V>
inline constexpr value_type value_type_of{type_name<V>()};

/// A value of any type; never changed, so that readers share it.
struct registry_value {
  std::shared_ptr<const void> data = {};
  const value_type* type = nullptr;  // null: registered without a value
};

struct registry_entry {
  std::string key = {};
  pid process = {};
  registry_value value = {};
};

[[noreturn]] void throw_other_value(
    std::string_view key, const value_type* wanted, const value_type* got);

template <class V>
registry_value make_value(V value) {
  return {std::make_shared<const V>(std::move(value)), &value_type_of<V>};
}
template <class V>
const V& read_value(std::string_view key, const registry_value& value) {
  if (value.type != &value_type_of<V>) throw_other_value(key, &value_type_of<V>, value.type);
  return *static_cast<const V*>(value.data.get());
}

}  // namespace detail

class registry {
 public:
  enum keys { unique, duplicate };

  struct options {
    std::string name = {};  // required; its process is registered by it too
    enum keys keys = unique;
    int partitions = 1;                       // more only helps when many register at once
    std::vector<std::string> listeners = {};  // names of processes: see below
  };

  /// What listeners are sent. Nothing is sent when an owner ends: a listener that wants to know
  /// monitors `process`.
  struct registered {
    std::string registry;
    std::string key;
    pid process;
  };
  struct unregistered {
    std::string registry;
    std::string key;
    pid process;
  };

  /// What register_name answers: true, or the present owner of the key.
  class [[nodiscard("look at it: the key may be taken")]] registration {
   public:
    explicit registration(pid already_registered = {}) noexcept : owner_(already_registered) {}
    explicit operator bool() const noexcept { return !owner_; }
    /// already_registered: who has the key; nobody when the registration went through.
    pid owner() const noexcept { return owner_; }

   private:
    pid owner_;
  };

  template <class V>
  struct entry {
    pid process;
    V value;
  };
  template <class V>
  struct keyed_entry {
    std::string key;
    pid process;
    V value;
  };

  /// Starts a registry, linked to the caller. Throws start_error when the name is taken.
  static pid start_link(options options);

  /// The names of those that run, sorted.
  static std::vector<std::string> names();

  /// A handle to the registry of this name, whether it runs or not.
  explicit registry(std::string name) : name_(std::move(name)) {}

  const std::string& name() const noexcept { return name_; }

  // --- in the process that owns the entry ---

  /// Registers the calling process. With duplicate keys it never fails, and registering twice makes
  /// two entries.
  registration register_name(std::string_view key) const { return add(key, {}); }
  template <class V>
  registration register_name(std::string_view key, V value) const {
    static_assert(
        std::copy_constructible<V>,
        "the values of a registry are copied to those who ask: make the type copyable, "
        "or register a shared_ptr");
    return add(key, detail::make_value<V>(std::move(value)));
  }

  /// Removes all entries of the calling process under this key.
  void unregister_name(std::string_view key) const;

  /// … those whose value fits: `bool fits(const V&)`. Answers how many.
  template <class V, class F>
  std::size_t unregister_match(std::string_view key, F fits) const {
    static_assert(
        std::predicate<F&, const V&>,
        "unregister_match<V>() needs a function that says which values fit: "
        "[](const V& value) { return ...; }");
    return remove_matching(key, [&](const detail::registry_value& value) {
      return fits(detail::read_value<V>(key, value));
    });
  }

  /// Replaces the value of an entry of the calling process by `change(value)` and answers it;
  /// nothing when the process has not registered the key. Unique keys only.
  template <class V, class F>
  std::optional<V> update_value(std::string_view key, F change) const {
    static_assert(
        std::is_invocable_r_v<V, F&, const V&>,
        "update_value<V>() needs a function that answers the new value: "
        "[](const V& value) { return ...; }");
    auto present = own_value(key);
    if (!present) return std::nullopt;
    V changed = change(detail::read_value<V>(key, *present));
    set_own_value(key, detail::make_value<V>(changed));
    return changed;
  }

  // --- from anywhere ---

  /// The owner of a unique key, or nobody.
  pid whereis_name(std::string_view key) const;

  /// All owners of a key, in the order of their registration if there is one partition.
  std::vector<pid> lookup(std::string_view key) const;
  template <class V>
  std::vector<entry<V>> lookup(std::string_view key) const {
    return match<V>(key, [](const V&) { return true; });
  }

  /// The entries of a key whose value fits: `bool fits(const V&)`.
  template <class V, class F>
  std::vector<entry<V>> match(std::string_view key, F fits) const {
    static_assert(
        std::predicate<F&, const V&>,
        "match<V>() needs a function that says which values fit: "
        "[](const V& value) { return ...; }");
    std::vector<entry<V>> found;
    for (auto& each : entries(key)) {
      auto& value = detail::read_value<V>(key, each.value);
      if (fits(value)) found.push_back({each.process, value});
    }
    return found;
  }
  template <class V, class F>
  std::size_t count_match(std::string_view key, F fits) const {
    return match<V>(key, std::move(fits)).size();
  }

  /// Of all entries of the registry, those that fit: `bool fits(key, process, const V&)`.
  template <class V, class F>
  std::vector<keyed_entry<V>> select(F fits) const {
    static_assert(
        std::predicate<F&, const std::string&, pid, const V&>,
        "select<V>() needs a function that says which entries fit: "
        "[](const std::string& key, roost::pid process, const V& value) { return ...; }");
    std::vector<keyed_entry<V>> found;
    for (auto& each : all_entries()) {
      auto& value = detail::read_value<V>(each.key, each.value);
      if (fits(each.key, each.process, value))
        found.push_back({std::move(each.key), each.process, value});
    }
    return found;
  }
  template <class V, class F>
  std::size_t count_select(F fits) const {
    return select<V>(std::move(fits)).size();
  }

  /// Calls `f(const std::vector<pid>&)` in the calling process, unless nobody has the key; with
  /// duplicate keys once for each partition.
  template <class F>
  void dispatch(std::string_view key, F f) const {
    static_assert(
        std::invocable<F&, const std::vector<pid>&>,
        "dispatch() needs a function that takes the processes: "
        "[](const std::vector<roost::pid>& processes) { ... }; dispatch<V>() gives it "
        "entries with their values");
    for (auto& partition : entries_by_partition(key)) {
      std::vector<pid> processes;
      for (auto& each : partition) processes.push_back(each.process);
      f(std::as_const(processes));
    }
  }
  /// … with the values: `f(const std::vector<entry<V>>&)`.
  template <class V, class F>
  void dispatch(std::string_view key, F f) const {
    static_assert(
        std::invocable<F&, const std::vector<entry<V>>&>,
        "dispatch<V>() needs a function that takes the entries: [](const auto& entries) "
        "{ for (auto& [process, value] : entries) ... }");
    for (auto& partition : entries_by_partition(key)) {
      std::vector<entry<V>> found;
      for (auto& each : partition)
        found.push_back({each.process, detail::read_value<V>(key, each.value)});
      f(std::as_const(found));
    }
  }

  /// The keys of a process, one for each entry.
  std::vector<std::string> keys_of(pid process) const;

  /// The values of a process under a key.
  template <class V>
  std::vector<V> values(std::string_view key, pid process) const {
    std::vector<V> found;
    for (auto& each : entries(key))
      if (each.process == process) found.push_back(detail::read_value<V>(key, each.value));
    return found;
  }

  /// How many entries there are.
  std::size_t count() const;

  // --- metadata: values of the registry itself ---

  template <class V>
  void put_meta(std::string_view key, V value) const {
    set_meta(key, detail::make_value<V>(std::move(value)));
  }
  template <class V>
  std::optional<V> meta(std::string_view key) const {
    auto value = find_meta(key);
    if (!value) return std::nullopt;
    return detail::read_value<V>(key, *value);
  }
  void delete_meta(std::string_view key) const;

  /// For the library.
  static std::unique_ptr<detail::behavior> make_process(options options);

 private:
  registration add(std::string_view key, detail::registry_value value) const;
  std::size_t remove_matching(
      std::string_view key, const std::function<bool(const detail::registry_value&)>& fits) const;
  std::optional<detail::registry_value> own_value(std::string_view key) const;
  void set_own_value(std::string_view key, detail::registry_value value) const;
  std::vector<detail::registry_entry> entries(std::string_view key) const;
  std::vector<std::vector<detail::registry_entry>> entries_by_partition(std::string_view key) const;
  std::vector<detail::registry_entry> all_entries() const;
  void set_meta(std::string_view key, detail::registry_value value) const;
  std::optional<detail::registry_value> find_meta(std::string_view key) const;

  std::string name_;
};

// --- names in a registry -------------------------------------------------------------------------

namespace detail {
via_name via_registry(std::string_view registry, std::string key, registry_value value);
}

/// The key in the registry of this name, as a name for a process: `{via, Registry, {rooms, key}}`.
inline via_name via(std::string_view registry, std::string key) {
  return detail::via_registry(registry, std::move(key), {});
}
inline via_name via(const registry& registry, std::string key) {
  return detail::via_registry(registry.name(), std::move(key), {});
}
/// … which registers with a value.
template <class V>
via_name via(std::string_view registry, std::string key, V value) {
  return detail::via_registry(registry, std::move(key), detail::make_value<V>(std::move(value)));
}

}  // namespace roost
