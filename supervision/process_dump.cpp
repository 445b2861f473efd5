#include "supervision/process_dump.hpp"
#include "runtime/process_info.hpp"
#include "supervision/application.hpp"
#include "supervision/release/environment.hpp"
#include <fcntl.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <ctime>
#include <future>
#include <memory>
#include <mutex>
#include <system_error>

namespace roost::detail {
namespace {

using answers = std::vector<std::optional<process_details>>;

/// What a batch of processes says of itself, as far as it answers in time.
answers ask(const std::vector<pid>& batch) {
  struct collector {
    std::mutex mutex;
    answers found;
    std::promise<void> done;
  };
  auto all = std::make_shared<collector>();
  auto done = all->done.get_future();
  all->found.resize(batch.size());
  spawn([all, batch, left = std::make_shared<std::size_t>(batch.size())] {
    auto count_down = [all, left] {
      if (--*left == 0) all->done.set_value();
    };
    for (std::size_t i = 0; i < batch.size(); ++i)
      process_info(batch[i]).then(
          [=](std::optional<process_details> info) {
            {
              std::lock_guard lock(all->mutex);
              all->found[i] = std::move(info);
            }
            count_down();
          },
          [=](const exit_reason&) { count_down(); });
  });
  done.wait_for(std::chrono::seconds(7));  // a node whose workers all hang answers nothing
  std::lock_guard lock(all->mutex);
  return all->found;
}

std::string list(const std::vector<pid>& processes) {
  std::string text;
  for (auto one : processes) text += (text.empty() ? "" : " ") + to_string(one);
  return text;
}

void append(std::string& to, const char* name, const std::string& value) {
  if (!value.empty()) to += std::string(name) + ": " + value + "\n";
}

void append_process(std::string& to, pid process, const std::optional<process_details>& info) {
  to += "\n=proc:" + to_string(process) + "\n";
  if (!info) {
    to += "State: gone, or in a handler that does not end\n";
    return;
  }
  append(to, "Name", info->registered_name);
  append(to, "Label", info->label);
  append(to, "Spawned as", info->initial_call);
  append(to, "State", to_string(info->status));
  append(to, "Current handler", info->current_handler);
  append(to, "Message queue length", std::to_string(info->message_queue_len));
  append(to, "Reductions", std::to_string(info->reductions));
  append(to, "Memory", std::to_string(info->memory));
  append(to, "Uptime", std::to_string(info->uptime.count()) + " ms");
  append(to, "Parent", info->parent ? to_string(info->parent) : "");
  append(to, "Links", list(info->links));
  append(to, "Monitors", list(info->monitors));
  append(to, "Monitored by", list(info->monitored_by));
}

std::string now_as_text() {
  auto now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

std::string header(std::size_t processes) {
  std::string text = "=roost_dump:1\n";
  append(text, "Time", now_as_text());
  append(text, "Node", node_name());
  append(text, "Version", release().version);
  append(text, "System process", std::to_string(::getpid()));
  append(text, "Processes", std::to_string(processes));
  for (const auto& one : which_applications())
    text += "\n=application:" + one.name + "\nRoot: " + to_string(one.root) + "\n";
  return text;
}

class output {
 public:
  explicit output(const std::string& file) : file_(file), unfinished_(file + ".new") {
    descriptor_ =
        ::open(unfinished_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (descriptor_ < 0) fail();
  }
  output(const output&) = delete;
  output& operator=(const output&) = delete;
  ~output() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }

  void write(std::string_view text) {
    while (!text.empty()) {
      auto written = ::write(descriptor_, text.data(), text.size());
      if (written < 0 && errno != EINTR) fail();
      text.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(written, 0)));
    }
  }
  void finish() {
    if (::rename(unfinished_.c_str(), file_.c_str()) != 0) fail();
  }

 private:
  [[noreturn]] void fail() const {
    throw std::runtime_error(
        "expected " + file_ + " to be a writable file, got \"" +
        std::generic_category().message(errno) + '"');
  }

  std::string file_;
  std::string unfinished_;
  int descriptor_ = -1;
};

}  // namespace

std::size_t write_process_dump(const std::string& file) {
  auto all = processes();
  output to(file);
  to.write(header(all.size()));
  constexpr std::size_t batch_size = 10'000;
  for (std::size_t from = 0; from < all.size(); from += batch_size) {
    auto first = all.begin() + static_cast<std::ptrdiff_t>(from);
    auto count = std::min(batch_size, all.size() - from);
    std::vector<pid> batch(first, first + static_cast<std::ptrdiff_t>(count));
    auto found = ask(batch);
    std::string text;
    for (std::size_t i = 0; i < batch.size(); ++i) append_process(text, batch[i], found[i]);
    to.write(text);
  }
  to.write("\n=end\n");
  to.finish();
  return all.size();
}

}  // namespace roost::detail
