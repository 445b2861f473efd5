// A supervisor whose children are numbered, and a table of their pids that everybody may read.
#include "supervision/partition_supervisor.hpp"
#include "runtime/scheduler.hpp"
#include "supervision/supervisor_process.hpp"
#include <charconv>
#include <map>
#include <shared_mutex>

namespace roost {
namespace {

/// The partitions of one supervisor. Its size is that of the start; `in_use` may be less.
struct partition_table {
  explicit partition_table(std::size_t size) : processes(size), in_use(size) {}

  std::vector<std::atomic<std::uint64_t>> processes;  // ids of this node; 0: nobody
  std::atomic<std::size_t> in_use;
  bool taken = true;  // by a supervisor

  pid find(std::uint64_t number) const noexcept {
    auto count = in_use.load(std::memory_order_acquire);
    return {processes[number % count].load(std::memory_order_acquire), 0};
  }
};

/// All partitions of one name, also those of later supervisors: a name outlives its process. Tables
/// are never freed, only used again, so that readers need no lock. Keys are numbers as text, which
/// the maker of the name has worked out.
class partition_names final : public name_service {
 public:
  partition_table& take_table(std::size_t size) {
    std::lock_guard guard{mutex_};
    for (auto& table : tables_) {
      if (table->taken || table->processes.size() != size) continue;
      table->taken = true;
      table->in_use.store(size, std::memory_order_release);
      return *table;
    }
    return *tables_.emplace_back(std::make_unique<partition_table>(size));
  }
  void give_back(partition_table& table) {
    const auto* expected = &table;
    current_.compare_exchange_strong(expected, nullptr);
    for (auto& process : table.processes) process.store(0, std::memory_order_release);
    std::lock_guard guard{mutex_};
    table.taken = false;
  }
  void publish(const partition_table& table) { current_.store(&table, std::memory_order_release); }
  const partition_table* current() const noexcept {
    return current_.load(std::memory_order_acquire);
  }

  pid register_name(const std::string&, pid) const override {
    throw std::invalid_argument(
        "expected a name to register, got a partition, which its supervisor registers");
  }
  void unregister_name(const std::string&, pid) const override {}
  pid whereis_name(const std::string& key) const noexcept override {
    std::uint64_t number = 0;
    std::from_chars(key.data(), key.data() + key.size(), number);
    auto* table = current();
    return table != nullptr ? table->find(number) : pid{};
  }

 private:
  std::atomic<const partition_table*> current_{nullptr};
  std::mutex mutex_;
  std::vector<std::unique_ptr<partition_table>> tables_;
};

std::shared_ptr<partition_names> names_of(std::string_view supervisor) {
  struct all_names {
    std::shared_mutex mutex;
    std::map<std::string, std::shared_ptr<partition_names>, std::less<>> by_name;
  };
  static auto& all = *new all_names;  // outlives every thread
  {
    std::shared_lock guard{all.mutex};
    if (auto found = all.by_name.find(supervisor); found != all.by_name.end()) return found->second;
  }
  std::unique_lock guard{all.mutex};
  auto& names = all.by_name[std::string(supervisor)];
  if (!names) names = std::make_shared<partition_names>();
  return names;
}

/// Starts the child as ever, and writes its pid into the table.
child_spec::start_function publishing(
    child_spec::start_function start, partition_table& table, std::size_t number) {
  auto publish = [&table, number](const detail::start_outcome& outcome) {
    bool started = outcome.status == detail::start_status::ready;
    table.processes[number].store(started ? outcome.process.id : 0, std::memory_order_release);
  };
  return [start = std::move(start), publish](std::function<void(detail::start_outcome)> told) {
    publish({detail::start_status::failed, {}, {}});
    auto outcome = start([publish, told = std::move(told)](detail::start_outcome later) {
      publish(later);
      told(std::move(later));
    });
    if (outcome.status == detail::start_status::ready) publish(outcome);
    return outcome;
  };
}

supervisor_spec spec_of(const partition_supervisor::options& options, partition_table& table) {
  supervisor_spec spec{
      .name = options.name,
      .strategy = options.strategy,
      .max_restarts = options.max_restarts,
      .max_seconds = options.max_seconds,
      .backoff = options.backoff};
  for (std::size_t i = 0; i < table.processes.size(); ++i) {
    auto child = options.with_arguments ? options.with_arguments(i) : options.child;
    child.id = std::to_string(i);
    child.start = publishing(std::move(child.start), table, i);
    spec.children.push_back(std::move(child));
  }
  return spec;
}

class partition_process final : public detail::supervisor_process {
 public:
  struct resize { std::size_t partitions; };

  partition_process(
      const partition_supervisor::options& options, std::shared_ptr<partition_names> names,
      partition_table& table)
      : supervisor_process(spec_of(options, table)), names_(std::move(names)), table_(table) {}
  ~partition_process() override { names_->give_back(table_); }

  std::string_view initial_call() const noexcept override { return "roost::partition_supervisor"; }

  detail::init_outcome init() override {
    names_->publish(table_);
    return supervisor_process::init();
  }

 private:
  bool handle_other(detail::message& message) override {
    auto* request = detail::value_of<resize>(message);
    if (request == nullptr) return false;
    auto wanted = std::min(request->partitions, table_.processes.size());
    for (std::size_t i = 0; i < wanted; ++i) restart({}, std::to_string(i));
    table_.in_use.store(wanted, std::memory_order_release);
    for (auto i = wanted; i < table_.processes.size(); ++i) terminate({}, std::to_string(i));
    from<std::size_t>(message.from, message.ref).reply(wanted);
    return true;
  }

  std::shared_ptr<partition_names> names_;
  partition_table& table_;
};

void validate(const partition_supervisor::options& options) {
  if (options.name.empty())
    throw std::invalid_argument(
        "expected a partition_supervisor's .name to be set, got an empty one");
  if (static_cast<bool>(options.child.start) == static_cast<bool>(options.with_arguments))
    throw std::invalid_argument(
        "expected .child or .with_arguments of partition_supervisor " + options.name +
        " to be set, got " + (options.with_arguments ? "both" : "neither"));
  auto child = options.with_arguments ? options.with_arguments(0) : options.child;
  child.id = "0";
  supervisor_spec spec{
      .name = options.name,
      .max_restarts = options.max_restarts,
      .max_seconds = options.max_seconds,
      .backoff = options.backoff,
      .children = {std::move(child)}};
  validate(spec);
}

std::unique_ptr<detail::behavior> make_process(const partition_supervisor::options& options) {
  auto count = options.partitions != 0 ? options.partitions : detail::scheduler::instance()->size();
  auto names = names_of(options.name);
  auto& table = names->take_table(count);
  return std::make_unique<partition_process>(options, std::move(names), table);
}

}  // namespace

child_spec partition_supervisor::child_spec(options options) {
  validate(options);
  auto name = options.name;
  return {
      .id = name,
      .start = detail::starter([options] { return make_process(options); }, name),
      .shutdown = infinity,
      .type = child_type::supervisor};
}

pid partition_supervisor::start_link(options options) {
  validate(options);
  if (detail::scheduler::instance() == nullptr)
    throw std::logic_error(
        "expected a running roost::runtime, got none: write `roost::runtime runtime;` first");
  auto process = make_process(options);
  return detail::start_server(
      std::move(process), {options.name}, detail::attachment::link,
      "partition_supervisor " + options.name);
}

std::size_t partition_supervisor::partitions() const {
  auto* table = names_of(name_)->current();
  return table != nullptr ? table->in_use.load(std::memory_order_acquire) : 0;
}

pending<std::size_t> partition_supervisor::resize(std::size_t partitions) const {
  auto* table = names_of(name_)->current();
  auto most = table != nullptr ? table->processes.size() : 0;
  if (table != nullptr && (partitions == 0 || partitions > most))
    throw std::invalid_argument(
        "expected 1 to " + std::to_string(most) + " partitions of " + name_ + ", got " +
        std::to_string(partitions));
  using resize = partition_process::resize;
  return pending<std::size_t>(detail::request{
      process(), detail::make_message<resize>(detail::message_kind::call, partitions), infinity,
      detail::type_name<resize>()});
}

via_name detail::via_partition(std::string_view supervisor, std::uint64_t magnitude) {
  return {names_of(supervisor), std::to_string(magnitude)};
}

via_name via_partition(std::string_view supervisor, std::string_view key) {
  return detail::via_partition(
      supervisor, static_cast<std::uint64_t>(std::hash<std::string_view>{}(key)));
}

}  // namespace roost
