// The port as a process on its owner's worker, which watches the program's output, its input when
// that is full, and its end.
#include "runtime/port.hpp"
#include "runtime/port_framing.hpp"
#include "runtime/scheduler.hpp"
#include "runtime/spawn.hpp"
#include <fcntl.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <deque>
#include <mutex>
#include <set>
#include <system_error>

extern char** environ;

namespace roost {
namespace detail {

/// What a port shares with its handles.
class port_state {
 public:
  explicit port_state(port_options options) : options(std::move(options)) {}

  const port_options options;
  int os_pid = 0;  // set before anybody else sees it
  std::atomic<bool> closed{false};
  std::atomic<std::size_t> queued{0};     // bytes on their way to the program
  std::atomic<bool> refused{false};       // somebody was told that the port is busy
  std::atomic<std::size_t> delivered{0};  // bytes that wait at the owner
  std::atomic<bool> paused{false};        // the port reads no more until they are fewer
  std::atomic<std::uint64_t> input{0};
  std::atomic<std::uint64_t> output{0};
};

namespace {

// One read takes as much as a pipe holds by default; a port reads a few times in its turn.
constexpr std::size_t read_size = 64 << 10;
constexpr int reads_per_event = 4;
// What a program has left behind in its pipe when it ends: pipes hold up to a megabyte.
constexpr int reads_at_the_end = 32;
constexpr std::chrono::milliseconds flush_time{5000};

class unique_fd {
 public:
  unique_fd() noexcept = default;
  explicit unique_fd(int fd) noexcept : fd_(fd) {}
  unique_fd(unique_fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  unique_fd& operator=(unique_fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~unique_fd() { reset(); }

  int get() const noexcept { return fd_; }
  explicit operator bool() const noexcept { return fd_ >= 0; }
  void reset() noexcept {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

 private:
  int fd_ = -1;
};

// --- starting a program --------------------------------------------------------------------------

/// A program that was just started, and our ends of its pipes.
struct program {
  int os_pid = 0;
  unique_fd input;   // of the program: we write
  unique_fd output;  // we read
  unique_fd end;     // readable when it has ended
};

[[noreturn]] void throw_system(int error, const std::string& expected) {
  std::string advice =
      error == EMFILE || error == ENFILE ? " (raise the limit: ulimit -n, LimitNOFILE)" : "";
  throw std::system_error(
      error, std::generic_category(), "expected " + expected + advice + ", got");
}

struct pipe_ends {
  unique_fd read;
  unique_fd write;
};

pipe_ends make_pipe() {
  std::array<int, 2> fds{};
  if (::pipe2(fds.data(), O_CLOEXEC) != 0) throw_system(errno, "a pipe for a port");
  return {unique_fd(fds[0]), unique_fd(fds[1])};
}

void never_block(const unique_fd& fd) { ::fcntl(fd.get(), F_SETFL, O_NONBLOCK); }

std::vector<std::string> environment_of(const port_options& options) {
  std::vector<std::string> all;
  for (auto** each = environ; *each != nullptr; ++each) {
    std::string_view entry = *each;
    if (!options.env.contains(std::string(entry.substr(0, entry.find('=')))))
      all.emplace_back(entry);
  }
  for (auto& [name, value] : options.env)
    if (value) all.push_back(name + "=" + *value);
  return all;
}

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> list;
  for (auto& text : texts) list.push_back(text.data());
  list.push_back(nullptr);
  return list;
}

/// posix_spawn's two parameter blocks.
class spawn_settings {
 public:
  spawn_settings() {
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawnattr_init(&attributes);
  }
  spawn_settings(const spawn_settings&) = delete;
  spawn_settings& operator=(const spawn_settings&) = delete;
  ~spawn_settings() {
    ::posix_spawn_file_actions_destroy(&actions);
    ::posix_spawnattr_destroy(&attributes);
  }

  /// The program begins with the signals that a shell would give it.
  void default_signals() {
    sigset_t all, none;
    ::sigfillset(&all);
    ::sigemptyset(&none);
    ::posix_spawnattr_setsigdefault(&attributes, &all);
    ::posix_spawnattr_setsigmask(&attributes, &none);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  }

  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
};

unique_fd watch_end(int os_pid) {
  unique_fd fd(static_cast<int>(::syscall(SYS_pidfd_open, os_pid, 0)));
  if (fd) return fd;
  auto error = errno;
  ::kill(os_pid, SIGKILL);
  ::waitpid(os_pid, nullptr, 0);
  throw_system(error, "a descriptor for the end of a program");
}

program start_program(const port_options& options) {
  auto input = make_pipe();
  auto output = make_pipe();
  spawn_settings settings;
  settings.default_signals();
  ::posix_spawn_file_actions_adddup2(&settings.actions, input.read.get(), STDIN_FILENO);
  ::posix_spawn_file_actions_adddup2(&settings.actions, output.write.get(), STDOUT_FILENO);
  if (options.stderr_to_stdout)
    ::posix_spawn_file_actions_adddup2(&settings.actions, output.write.get(), STDERR_FILENO);
  if (!options.cd.empty())
    ::posix_spawn_file_actions_addchdir_np(&settings.actions, options.cd.c_str());
  std::vector<std::string> arguments{options.command};
  arguments.insert(arguments.end(), options.arguments.begin(), options.arguments.end());
  auto environment = environment_of(options);
  program started;
  auto error = ::posix_spawnp(
      &started.os_pid, options.command.c_str(), &settings.actions, &settings.attributes,
      pointers_to(arguments).data(), pointers_to(environment).data());
  if (error != 0)
    throw_system(
        error, options.command + " to be a program that can be started" +
                   (options.cd.empty() ? "" : " in " + options.cd));
  input.read.reset();
  output.write.reset();
  started.end = watch_end(started.os_pid);
  started.input = std::move(input.write);
  started.output = std::move(output.read);
  never_block(started.input);
  never_block(started.output);
  return started;
}

int exit_status_of(int status) {
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

// --- programs that outlive their port ------------------------------------------------------------

/// Waits for the end of a program that nobody listens to any more, so that it leaves no zombie.
class reaper final : public io_handler {
 public:
  static void take(int os_pid, unique_fd end) {
    if (::waitpid(os_pid, nullptr, WNOHANG) != 0) return;
    std::unique_ptr<reaper> waiting{new reaper(os_pid, std::move(end))};
    auto& self = *waiting;
    {
      std::lock_guard guard{all().mutex};
      all().waiting.insert(std::move(waiting));
    }
    worker::current()->watch(self.end_.get(), EPOLLIN, self);
  }

  void on_io(std::uint32_t) override {
    if (::waitpid(os_pid_, nullptr, WNOHANG) == 0) return;
    worker::current()->unwatch(end_.get(), *this);
    std::lock_guard guard{all().mutex};
    auto& waiting = all().waiting;
    auto found = std::find_if(
        waiting.begin(), waiting.end(), [this](auto& each) { return each.get() == this; });
    worker::current()->delete_after_poll(std::move(waiting.extract(found).value()));
  }

 private:
  struct list {
    std::mutex mutex;
    std::set<std::unique_ptr<reaper>> waiting;
  };
  static list& all() {
    static auto& list = *new struct list;  // outlives every thread
    return list;
  }

  reaper(int os_pid, unique_fd end) noexcept : os_pid_(os_pid), end_(std::move(end)) {}

  int os_pid_;
  unique_fd end_;
};

// --- the port ------------------------------------------------------------------------------------

struct write_bytes { std::string bytes; };
struct read_on {};
struct close_port {};
struct connect_port { pid owner; };

class port_process final : public behavior {
 public:
  port_process(std::shared_ptr<port_state> state, program program, pid owner)
      : state_(std::move(state)),
        program_(std::move(program)),
        owner_(owner),
        framing_(state_->options.packet, state_->options.line, state_->options.max_packet) {}
  ~port_process() override;

  std::string_view initial_call() const noexcept override { return "roost::port"; }
  std::string state_text() const override { return "port " + state_->options.command; }

  init_outcome init() override;
  void handle(message& message) override;

 private:
  using action = void (*)(port_process&);

  /// One descriptor that the worker watches. The batch of events that is being served may name it
  /// after the port has gone.
  class watch final : public io_handler {
   public:
    watch(port_process& port, int fd, action action) : port_(&port), fd_(fd), action_(action) {}
    void on_io(std::uint32_t) override {
      if (port_ != nullptr) run_as(*port_->core_, [this] { action_(*port_); });
    }
    void forget() noexcept { port_ = nullptr; }
    int fd() const noexcept { return fd_; }

   private:
    port_process* port_;
    int fd_;
    action action_;
  };

  void listen(std::unique_ptr<watch>& place, const unique_fd& fd, std::uint32_t events, action on);
  void stop_listening(std::unique_ptr<watch>& place) noexcept;

  static void readable(port_process& port) { port.on_readable(); }
  static void writable(port_process& port) { port.on_writable(); }
  static void program_ended(port_process& port) { port.on_program_end(); }

  void on_readable();
  void on_writable();
  void on_program_end();
  void on_end_of_output();
  bool read_once();  // answers whether there may be more
  void deliver(std::string bytes, bool eol);
  void pause_if_ahead();
  void write_queued();
  void written(std::size_t bytes);
  void close();
  void reap();
  void end(exit_reason reason);
  port handle_of_this() const { return {core_->self(), state_}; }

  std::shared_ptr<port_state> state_;
  program program_;
  pid owner_;
  process* core_ = nullptr;
  port_framing framing_;
  std::deque<std::string> queue_;
  std::size_t first_written_ = 0;  // of the oldest in the queue
  std::unique_ptr<watch> reading_;
  std::unique_ptr<watch> writing_;
  std::unique_ptr<watch> ending_;
  bool closing_ = false;  // writes what is left, delivers nothing
  bool reaped_ = false;
};

init_outcome port_process::init() {
  core_ = current_process();
  trap_exit(true);
  listen(reading_, program_.output, EPOLLIN, readable);
  listen(ending_, program_.end, EPOLLIN, program_ended);
  return {};
}

port_process::~port_process() {
  state_->closed = true;
  stop_listening(reading_);
  stop_listening(writing_);
  stop_listening(ending_);
  program_.input.reset();
  program_.output.reset();
  if (!reaped_) reaper::take(program_.os_pid, std::move(program_.end));
}

void port_process::listen(
    std::unique_ptr<watch>& place, const unique_fd& fd, std::uint32_t events, action on) {
  place = std::make_unique<watch>(*this, fd.get(), on);
  worker::current()->watch(fd.get(), events, *place);
}

void port_process::stop_listening(std::unique_ptr<watch>& place) noexcept {
  if (!place) return;
  place->forget();
  worker::current()->unwatch(place->fd(), *place);
  worker::current()->delete_after_poll(std::move(place));
}

void port_process::handle(message& message) {
  if (auto* request = value_of<write_bytes>(message)) {
    queue_.push_back(std::move(request->bytes));
    if (!writing_) write_queued();
  } else if (value_of<read_on>(message) != nullptr) {
    if (program_.output && !reading_) listen(reading_, program_.output, EPOLLIN, readable);
  } else if (value_of<close_port>(message) != nullptr) {
    close();
  } else if (auto* heir = value_of<connect_port>(message)) {
    if (message.from != owner_) return;
    owner_ = heir->owner;
    link(owner_);
  } else if (auto* exit = value_of<exited>(message)) {
    // Our own signal comes when the time for writing what was left is over.
    if (exit->from == core_->self()) return end(exit_reason::normal);
    if (exit->from == owner_ || !(exit->reason == exit_reason::normal)) end(exit->reason);
  } else if (message.kind != message_kind::down) {
    unexpected(message, initial_call());
  }
}

// --- from the program ----------------------------------------------------------------------------

void port_process::on_readable() {
  for (int i = 0; i < reads_per_event && reading_; ++i)
    if (!read_once()) return;
}

bool port_process::read_once() {
  static thread_local std::array<char, read_size> buffer;  // nobody keeps what is in it
  auto count = ::read(program_.output.get(), buffer.data(), buffer.size());
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return errno == EINTR;
  if (count <= 0) {
    on_end_of_output();
    return false;
  }
  state_->input.fetch_add(static_cast<std::uint64_t>(count), std::memory_order_relaxed);
  if (closing_) return true;
  auto to_owner = [this](std::string bytes, bool eol) { deliver(std::move(bytes), eol); };
  if (!framing_.feed({buffer.data(), static_cast<std::size_t>(count)}, to_owner)) {
    end("emsgsize");
    return false;
  }
  pause_if_ahead();
  return true;
}

/// The message carries a token, whose end lets the port read on.
void port_process::deliver(std::string bytes, bool eol) {
  auto size = bytes.size() + sizeof(message_of<port_data>);  // empty lines cost memory too
  state_->delivered.fetch_add(size, std::memory_order_seq_cst);
  auto release = [state = state_, self = core_->self(), size](const void*) {
    auto left = state->delivered.fetch_sub(size, std::memory_order_seq_cst) - size;
    if (left <= state->options.read_ahead / 2 && state->paused.exchange(false))
      send(self, read_on{});
  };
  static constexpr char token = 0;
  send(
      owner_, port_data{
                  handle_of_this(), std::move(bytes), eol,
                  std::shared_ptr<const void>(&token, std::move(release))});
}

void port_process::pause_if_ahead() {
  if (state_->delivered.load(std::memory_order_relaxed) <= state_->options.read_ahead) return;
  stop_listening(reading_);
  state_->paused = true;
  // The owner may have handled all of it before it could see that we wait.
  if (state_->delivered.load() <= state_->options.read_ahead / 2 && state_->paused.exchange(false))
    listen(reading_, program_.output, EPOLLIN, readable);
}

void port_process::on_end_of_output() {
  if (!closing_)
    framing_.finish([this](std::string bytes, bool eol) { deliver(std::move(bytes), eol); });
  stop_listening(reading_);
  program_.output.reset();
  if (!state_->options.exit_status || reaped_) end(exit_reason::normal);
}

void port_process::on_program_end() {
  int status = 0;
  if (::waitpid(program_.os_pid, &status, WNOHANG) == 0) return;
  reaped_ = true;
  stop_listening(ending_);
  program_.end.reset();
  if (!state_->options.exit_status) return;  // the end of its output ends the port
  // What it has written comes before its status, whatever the owner has not handled yet.
  for (int i = 0; i < reads_at_the_end && program_.output; ++i)
    if (!read_once()) break;
  if (!closing_) send(owner_, port_exit_status{handle_of_this(), exit_status_of(status)});
  end(exit_reason::normal);
}

// --- to the program ------------------------------------------------------------------------------

void port_process::on_writable() {
  stop_listening(writing_);
  write_queued();
}

void port_process::write_queued() {
  while (!queue_.empty()) {
    auto& oldest = queue_.front();
    auto count = ::write(
        program_.input.get(), oldest.data() + first_written_, oldest.size() - first_written_);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) return listen(writing_, program_.input, EPOLLOUT, writable);
    if (count < 0) return end(errno == EPIPE ? "epipe" : std::strerror(errno));
    first_written_ += static_cast<std::size_t>(count);
    if (first_written_ == oldest.size()) {
      queue_.pop_front();
      first_written_ = 0;
    }
    written(static_cast<std::size_t>(count));
  }
  if (closing_) end(exit_reason::normal);
}

void port_process::written(std::size_t bytes) {
  state_->output.fetch_add(bytes, std::memory_order_relaxed);
  auto left = state_->queued.fetch_sub(bytes) - bytes;
  if (left <= state_->options.busy_limit / 2 && state_->refused.exchange(false))
    send(owner_, port_ready{handle_of_this()});
}

// --- ending --------------------------------------------------------------------------------------

/// What was sent is written, so a program that reads no more is given up after a while. Its output
/// is read and dropped, or it might never get to its input.
void port_process::close() {
  if (closing_) return;
  closing_ = true;
  if (queue_.empty()) return end(exit_reason::normal);
  if (program_.output && !reading_) listen(reading_, program_.output, EPOLLIN, readable);
  exit_after(flush_time, core_->self(), exit_reason::shutdown);
}

void port_process::end(exit_reason reason) {
  state_->closed = true;
  // A program that ends badly is the owner's affair, and is told by the link: it is no crash of
  // ours.
  core_->by_signal = true;
  stop_self(std::move(reason));
}

// --- options -------------------------------------------------------------------------------------

void check(const port_options& options) {
  auto wrong = [](const std::string& text) { throw std::invalid_argument("expected " + text); };
  if (options.command.empty()) wrong("port_options::command to be a program, got an empty text");
  if (options.packet != 0 && options.packet != 1 && options.packet != 2 && options.packet != 4)
    wrong("port_options::packet to be 0, 1, 2 or 4, got " + std::to_string(options.packet));
  if (options.packet != 0 && options.line != 0)
    wrong("port_options to have packet or line, got both");
  if (options.busy_limit == 0) wrong("port_options::busy_limit to be at least 1, got 0");
  if (options.read_ahead == 0) wrong("port_options::read_ahead to be at least 1, got 0");
  auto has_zero = [](const std::string& text) { return text.find('\0') != text.npos; };
  if (has_zero(options.command) || has_zero(options.cd) ||
      std::any_of(options.arguments.begin(), options.arguments.end(), has_zero))
    wrong("the texts of port_options to be without zero bytes, got one");
  for (auto& [name, value] : options.env)
    if (name.empty() || name.find('=') != name.npos || has_zero(name) ||
        (value && has_zero(*value)))
      wrong("port_options::env to have names without =, got \"" + name + "\"");
}

/// A write to a program that has ended is an error, not the end of everything.
void ignore_sigpipe() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction now {};
    if (::sigaction(SIGPIPE, nullptr, &now) == 0 && now.sa_handler == SIG_DFL)
      std::signal(SIGPIPE, SIG_IGN);
  });
}

port_state& state_of_open(const port& port) {
  auto* state = port.state();
  if (state == nullptr || state->closed)
    throw std::invalid_argument(
        "expected an open port, got " + (state == nullptr ? std::string("none") : to_string(port)) +
        ", which is closed (badarg)");
  return *state;
}

}  // namespace
}  // namespace detail

using namespace detail;

std::string to_string(const port& port) { return "#port" + to_string(port.process()); }

std::string to_string(const port_data& message) {
  return "port_data{from: " + to_string(message.from) + ", data: " + to_text(message.data) +
         (message.eol ? ", eol}" : "}");
}

port open_port(port_options options) {
  if (!inside_process())
    throw std::logic_error(
        "expected open_port to be called in a process, which owns the port, got a thread outside "
        "the scheduler");
  check(options);
  ignore_sigpipe();
  auto state = std::make_shared<port_state>(std::move(options));
  auto started = start_program(state->options);
  state->os_pid = started.os_pid;
  start_request request;
  request.attach = attachment::link;
  request.pinned = true;
  auto outcome = start_process(
      std::make_unique<port_process>(state, std::move(started), self()), std::move(request));
  if (outcome.status != start_status::ready) throw process_exit(outcome.reason);
  return {outcome.process, std::move(state)};
}

bool port_command(const port& port, std::string bytes) {
  auto& state = state_of_open(port);
  auto packet = state.options.packet;
  if (bytes.size() > largest_packet(packet))
    throw std::invalid_argument(
        "expected a packet of at most " + std::to_string(largest_packet(packet)) + " bytes, got " +
        std::to_string(bytes.size()));
  if (packet != 0) bytes.insert(0, packet_header(packet, bytes.size()));
  if (bytes.empty()) return true;
  auto size = bytes.size();
  auto before = state.queued.load();
  do {
    if (before >= state.options.busy_limit) {
      state.refused = true;
      // The port may have written everything in between, and would tell nobody.
      if (state.queued.load() > state.options.busy_limit / 2) return false;
      before = state.queued.load();
    }
  } while (!state.queued.compare_exchange_weak(before, before + size));
  send(port.process(), write_bytes{std::move(bytes)});
  return true;
}

void port_close(const port& port) {
  auto& state = state_of_open(port);
  if (state.closed.exchange(true)) return;
  send(port.process(), close_port{});
}

void port_connect(const port& port, pid owner) {
  state_of_open(port);
  auto message = make_message<connect_port>(message_kind::info, owner);
  message->from = self();
  enqueue(port.process(), std::move(message));
}

std::optional<port_details> port_info(const port& port) {
  auto* state = port.state();
  if (state == nullptr || state->closed) return std::nullopt;
  return port_details{
      state->options.command, state->os_pid, state->input.load(), state->output.load(),
      state->queued.load()};
}

}  // namespace roost
