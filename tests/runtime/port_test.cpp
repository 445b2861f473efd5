#include "runtime/port.hpp"
#include "runtime/port_framing.hpp"
#include "runtime/process_info.hpp"
#include "runtime/sys.hpp"
#include "tests/support.hpp"
#include <sys/resource.h>
#include <unistd.h>
#include <csignal>
#include <filesystem>

using namespace roost;
using namespace roost::test;

namespace {

/// What an owner has got from its port, for the test to read.
struct inbox {
  void add(const std::string& line) {
    std::lock_guard guard{mutex};
    lines.push_back(line);
  }
  void add_bytes(const std::string& bytes) {
    std::lock_guard guard{mutex};
    all += bytes;
    biggest = std::max(biggest, bytes.size());
  }
  std::vector<std::string> read() const {
    std::lock_guard guard{mutex};
    return lines;
  }
  bool has(std::string_view line) const {
    std::lock_guard guard{mutex};
    return std::find(lines.begin(), lines.end(), line) != lines.end();
  }
  std::string bytes() const {
    std::lock_guard guard{mutex};
    return all;
  }
  mutable std::mutex mutex;
  std::vector<std::string> lines;
  std::string all;
  std::size_t biggest = 0;
};
using shared_inbox = std::shared_ptr<inbox>;

/// Opens a port and writes down what comes.
struct owner {
  struct which { using reply = port; };
  struct write {
    using reply = bool;
    std::string bytes;
  };
  struct close {};
  struct give { pid to; };
  using messages = roost::messages<which, write, close, give>;
  using infos = roost::messages<port_data, port_exit_status, port_ready>;

  port program;
  shared_inbox box;

  static init_result<owner> init(port_options options, shared_inbox box) {
    trap_exit(true);
    return owner{open_port(std::move(options)), std::move(box)};
  }
  port handle_call(which) const { return program; }
  bool handle_call(write message) { return port_command(program, std::move(message.bytes)); }
  void handle_cast(close) { port_close(program); }
  void handle_cast(give message) { port_connect(program, message.to); }
  void handle_info(const port_data& message) {
    box->add_bytes(message.data);
    box->add((message.eol ? "line " : "data ") + message.data);
  }
  void handle_info(const port_exit_status& end) {
    box->add("status " + std::to_string(end.status));
  }
  void handle_info(const port_ready&) { box->add("ready"); }
  void handle_info(const exited& exit) { box->add("exit " + exit.reason.to_string()); }
};

struct opened {
  shared_inbox box = std::make_shared<inbox>();
  server<owner> by;
  explicit opened(port_options options) : by(start<owner>(std::move(options), box)) {}
  port program() const { return call(by, owner::which{}).get(); }
  bool write(std::string bytes) const { return call(by, owner::write{std::move(bytes)}).get(); }
  bool got(std::string_view line) const {
    return eventually([&] { return box->has(line); });
  }
};

port_options shell(std::string script) { return {.command = "sh", .arguments = {"-c", script}}; }

bool is_running(int os_pid) { return ::kill(os_pid, 0) == 0; }

std::size_t open_descriptors() {
  auto all = std::filesystem::directory_iterator("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

/// Cuts `input` in pieces of every size: what is delivered must not depend on it.
std::vector<std::string> framed(
    int packet, std::size_t line, std::string_view input, std::size_t piece) {
  detail::port_framing framing(packet, line, 1000);
  std::vector<std::string> got;
  auto deliver = [&](std::string bytes, bool eol) { got.push_back(bytes + (eol ? "$" : "")); };
  for (std::size_t at = 0; at < input.size(); at += piece)
    CHECK(framing.feed(input.substr(at, piece), deliver));
  framing.finish(deliver);
  return got;
}

using texts = std::vector<std::string>;

}  // namespace

// --- framing -------------------------------------------------------------------------------------

TEST_CASE("port: lines arrive whole, long ones in pieces, whatever the reads are") {
  std::string input = "one\n\ntwenty-one\nexactly8\nrest";
  for (std::size_t piece = 1; piece <= input.size(); ++piece)
    CHECK(framed(0, 8, input, piece) == texts{"one$", "$", "twenty-o", "ne$", "exactly8$", "rest"});
}

TEST_CASE("port: packets arrive whole, whatever the reads are; half a packet does not") {
  std::string input = detail::packet_header(2, 3) + "abc" + detail::packet_header(2, 0) +
                      detail::packet_header(2, 300) + std::string(300, 'x') +
                      detail::packet_header(2, 9) + "half";
  for (std::size_t piece : {1U, 2U, 3U, 7U, 100U, 1000U})
    CHECK(framed(2, 0, input, piece) == texts{"abc", "", std::string(300, 'x')});
  CHECK(detail::packet_header(4, 0x01020304) == "\x01\x02\x03\x04");
  detail::port_framing small(4, 0, 10);
  CHECK_FALSE(small.feed(detail::packet_header(4, 11), [](std::string, bool) {}));
}

// --- programs ------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(
    node, "port: what is written to cat comes back, and cat ends when the port is closed") {
  opened cat({.command = "cat", .line = 100});
  auto program = cat.program();
  auto os_pid = port_info(program)->os_pid;
  CHECK(is_running(os_pid));
  CHECK(cat.write("hello\nwor"));
  CHECK(cat.write("ld\n"));
  CHECK(cat.got("line hello"));
  CHECK(cat.got("line world"));
  CHECK(port_info(program)->input == 12);
  CHECK(port_info(program)->output == 12);
  cast(cat.by, owner::close{});
  CHECK(cat.got("exit normal"));
  CHECK(eventually([&] { return !is_running(os_pid); }));
  CHECK_FALSE(port_info(program).has_value());
  CHECK_THROWS_WITH_AS(
      (void)port_command(program, "x"), doctest::Contains("badarg"), std::invalid_argument);
  CHECK_THROWS_AS(port_close(program), std::invalid_argument);
}

TEST_CASE_FIXTURE(node, "port: packets go through a program unchanged, empty and large ones too") {
  for (int packet : {1, 2, 4}) {
    opened cat({.command = "cat", .packet = packet});
    auto large = std::string(
        static_cast<std::size_t>(std::min<std::uint64_t>(detail::largest_packet(packet), 200'000)),
        'y');
    CHECK(cat.write("first"));
    CHECK(cat.write(""));
    CHECK(cat.write(large));
    CHECK(eventually([&] { return cat.box->read().size() == 3; }));
    CHECK(cat.box->read() == texts{"data first", "data ", "data " + large});
  }
  opened cat({.command = "cat", .packet = 1});
  auto program = cat.program();
  CHECK_THROWS_WITH_AS(
      (void)port_command(program, std::string(256, 'x')),
      doctest::Contains("at most 255 bytes, got 256"), std::invalid_argument);
}

TEST_CASE_FIXTURE(
    node, "port: the exit status comes after the last output and before the end of the port") {
  auto options = shell("echo first; echo last; exit 7");
  options.line = 80;
  options.exit_status = true;
  opened program(options);
  CHECK(program.got("exit normal"));
  CHECK(program.box->read() == texts{"line first", "line last", "status 7", "exit normal"});
}

TEST_CASE_FIXTURE(node, "port: without exit_status the port ends with the output of its program") {
  opened program(shell("printf done; exit 3"));
  CHECK(program.got("exit normal"));
  CHECK(program.box->read() == texts{"data done", "exit normal"});
}

TEST_CASE_FIXTURE(
    node, "port: a program that is killed by a signal has the status 128 and its number") {
  opened cat({.command = "cat", .exit_status = true});
  ::kill(port_info(cat.program())->os_pid, SIGKILL);
  CHECK(cat.got("exit normal"));
  CHECK(cat.box->read() == texts{"status 137", "exit normal"});
}

TEST_CASE_FIXTURE(node, "port: arguments, environment, folder and errors are what was asked for") {
  auto options = shell("echo \"$1 $ROOST_A ${HOME:-homeless} $(pwd)\"; echo oops >&2");
  options.arguments.insert(options.arguments.end(), {"sh", "an argument"});
  options.line = 200;
  options.env = {{"ROOST_A", "set"}, {"HOME", std::nullopt}};
  options.cd = "/";
  options.stderr_to_stdout = true;
  opened program(options);
  CHECK(program.got("line an argument set homeless /"));
  CHECK(program.got("line oops"));
}

TEST_CASE_FIXTURE(
    node, "port: a program that cannot be started is a sentence, and leaves nothing open") {
  auto before = open_descriptors();
  auto sentence = [](port_options options) {
    return in_process([options] {
      try {
        open_port(options);
        return std::string("started");
      } catch (const std::exception& error) {
        return std::string(error.what());
      }
    });
  };
  CHECK(
      sentence({.command = "/no/such/program"}).find("/no/such/program to be a program") !=
      std::string::npos);
  CHECK(sentence({.command = "/no/such/program"}).find("No such file") != std::string::npos);
  CHECK(sentence({.command = "/etc/passwd"}).find("Permission denied") != std::string::npos);
  CHECK(
      sentence({.command = "cat", .cd = "/no/such/folder"}).find("in /no/such/folder") !=
      std::string::npos);
  CHECK(sentence({.command = ""}).find("got an empty text") != std::string::npos);
  CHECK(sentence({.command = "cat", .packet = 3}).find("0, 1, 2 or 4, got 3") != std::string::npos);
  CHECK(sentence({.command = "cat", .packet = 2, .line = 5}).find("got both") != std::string::npos);
  CHECK(open_descriptors() == before);
  CHECK_THROWS_AS(open_port({.command = "cat"}), std::logic_error);
}

// --- ends ----------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(
    node,
    "port: when the owner is killed the program finds its input closed, and nothing stays open") {
  auto before = open_descriptors();
  std::vector<int> programs;
  {
    std::vector<opened> all;
    for (int i = 0; i < 5; ++i) all.emplace_back(port_options{.command = "cat"});
    for (auto& each : all) programs.push_back(port_info(each.program())->os_pid);
    CHECK(open_descriptors() >= before + 15);
    for (auto& each : all) exit(each.by.process(), exit_reason::kill);
  }
  for (auto os_pid : programs) CHECK(eventually([&] { return !is_running(os_pid); }));
  CHECK(eventually([&] { return open_descriptors() == before; }));
}

TEST_CASE_FIXTURE(node, "port: an owner that ends with normal takes its port along") {
  auto os_pid = in_process([] { return port_info(open_port({.command = "cat"}))->os_pid; });
  CHECK(eventually([&] { return !is_running(os_pid); }));
}

TEST_CASE_FIXTURE(node, "port: a program that outlives its port leaves no zombie") {
  auto options = shell("echo $$; exec >&-; cat <&0 >/dev/null; exec sleep 0.1");
  options.line = 20;
  opened program(options);
  CHECK(program.got("exit normal"));  // it has closed its output
  auto os_pid = std::stoi(program.box->bytes());
  CHECK(is_running(os_pid));
  CHECK(eventually([&] { return !is_running(os_pid); }));
}

TEST_CASE_FIXTURE(node, "port: writing to a program that reads no more ends the port with epipe") {
  opened program(shell("exec <&-; echo closed; sleep 10"));
  CHECK(program.got("data closed\n"));
  auto os_pid = port_info(program.program())->os_pid;
  CHECK(program.write("anybody?"));
  CHECK(program.got("exit epipe"));
  ::kill(os_pid, SIGKILL);
  CHECK(eventually([&] { return !is_running(os_pid); }));
}

TEST_CASE_FIXTURE(node, "port: a packet that claims too much ends the port with emsgsize") {
  auto options = shell("printf '\\377\\377\\377\\377'; cat >/dev/null");
  options.packet = 4;
  opened program(options);
  CHECK(program.got("exit emsgsize"));
}

TEST_CASE_FIXTURE(node, "port: exit signals close a port, and it closes with their reason") {
  opened cat({.command = "cat"});
  exit(cat.program().process(), "enough");
  CHECK(cat.got("exit enough"));
}

TEST_CASE_FIXTURE(node, "port: closing writes what was sent before") {
  auto file =
      std::filesystem::temp_directory_path() / ("roost_port_test." + std::to_string(::getpid()));
  auto options = shell("sleep 0.05; cat > " + file.string() + "; echo done; cat");
  opened program(options);
  std::string large(150'000, 'z');
  CHECK(program.write(large));
  cast(program.by, owner::close{});
  CHECK(program.got("exit normal"));
  CHECK(eventually([&] {
    std::error_code ignored;
    return std::filesystem::file_size(file, ignored) == large.size();
  }));
  std::filesystem::remove(file);
}

TEST_CASE_FIXTURE(node, "port: a port is given away by its owner, and by nobody else") {
  opened cat({.command = "cat"});
  auto heir_box = std::make_shared<inbox>();
  auto heir = start<owner>(port_options{.command = "cat"}, heir_box);
  port_connect(cat.program(), heir.process());  // not the owner: nothing happens
  CHECK(cat.write("mine"));
  CHECK(cat.got("data mine"));
  cast(cat.by, owner::give{heir.process()});
  CHECK(cat.write("yours"));
  CHECK(eventually([&] { return heir_box->has("data yours"); }));
  auto program = cat.program();
  exit(heir.process(), exit_reason::kill);
  CHECK(eventually([&] { return !port_info(program); }));
}

// --- limits --------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(
    node, "port: a program that does not read makes its port busy, and ready when it reads again") {
  auto options = shell("kill -STOP $$; cat");
  options.busy_limit = 10'000;
  opened program(options);
  auto os_pid = port_info(program.program())->os_pid;
  std::string piece(5'000, 'p');
  std::size_t sent = 0;
  std::uint64_t output = 0;
  auto is_full = [&] {
    while (program.write(piece)) sent += piece.size();
    auto info = *port_info(program.program());
    return std::exchange(output, info.output) == info.output && info.output > 40'000 &&
           info.queued >= 10'000;
  };
  CHECK(eventually(is_full));
  CHECK(port_info(program.program())->queued <= 15'000);
  auto ready = [&] {
    auto lines = program.box->read();
    return std::count(lines.begin(), lines.end(), "ready");
  };
  auto before = ready();  // from while the pipe was filled
  CHECK(eventually([&] { return ::kill(os_pid, SIGCONT) == 0 && ready() > before; }));
  CHECK(eventually([&] { return program.box->bytes().size() == sent; }));
  CHECK(program.write("more"));
}

TEST_CASE_FIXTURE(node, "port: a program that writes without end waits while its owner is busy") {
  opened program({.command = "yes", .read_ahead = 200'000});
  auto handle = program.program();
  sys::suspend(program.by.process()).get();
  auto before = program.box->bytes().size();  // handled
  auto waiting = [&] { return port_info(handle)->input - before; };
  CHECK(eventually([&] { return waiting() > 90'000; }));
  auto length = [&] { return process_info(program.by.process()).get()->message_queue_len; };
  auto most = waiting();
  for (int i = 0; i < 100; ++i) length(), most = std::max(most, waiting());
  CHECK(most < 400'000);
  sys::resume(program.by.process()).get();
  CHECK(eventually([&] { return waiting() > 1'000'000; }));
  cast(program.by, owner::close{});
  CHECK(program.got("exit normal"));
}

TEST_CASE_FIXTURE(
    node, "port: at the limit of open files the next port is an error, and later ones work") {
  rlimit old{};
  ::getrlimit(RLIMIT_NOFILE, &old);
  rlimit low = old;
  low.rlim_cur = open_descriptors() + 40;
  ::setrlimit(RLIMIT_NOFILE, &low);
  auto before = open_descriptors();
  auto result = in_process([] {
    std::size_t count = 0;
    try {
      for (; count < 1000; ++count) open_port({.command = "cat"});
    } catch (const std::system_error& error) {
      return std::pair{count, std::string(error.what())};
    }
    return std::pair{count, std::string()};
  });
  CHECK(result.first > 5);
  CHECK(result.first < 20);
  CHECK(result.second.find("Too many open files") != std::string::npos);
  CHECK(result.second.find("ulimit -n") != std::string::npos);
  CHECK(eventually([&] { return open_descriptors() == before; }));
  opened again({.command = "cat"});
  CHECK(again.write("still here"));
  CHECK(again.got("data still here"));
  ::setrlimit(RLIMIT_NOFILE, &old);
}

TEST_CASE_FIXTURE(
    node, "port: ports are processes: they are listed, named and seen by process_info") {
  opened cat({.command = "cat"});
  auto program = cat.program();
  auto info = process_info(program.process()).get();
  REQUIRE(info.has_value());
  CHECK(info->initial_call == "roost::port");
  CHECK(info->links == std::vector<pid>{cat.by.process()});
  CHECK(to_string(program).starts_with("#port<0."));
  CHECK(to_string(port_data{program, "a", true}).ends_with("data: \"a\", eol}"));
}
