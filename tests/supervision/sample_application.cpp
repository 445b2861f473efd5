// The program that application_test runs: a small tree that says on stdout what it does.
#include "supervision/application.hpp"
#include <csignal>
#include <cstdio>
#include <cstdlib>

namespace {

void say(const std::string& line) {
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

/// Says when it starts and stops.
struct announcer {
  using messages = roost::messages<>;
  std::string name;

  static roost::init_result<announcer> init(std::string name) {
    roost::trap_exit(true);
    say("start " + name);
    return announcer{name};
  }
  void terminate(const roost::exit_reason&) { say("stop " + name); }
};

struct counter {
  struct bump { using reply = int; };
  using messages = roost::messages<bump>;
  int value = 0;
  int handle_call(bump) { return ++value; }
};

/// Asks the counter once.
struct customer {
  using messages = roost::messages<>;
  static roost::init_result<customer> init() {
    roost::call(roost::server<counter>{"counter"}, counter::bump{}).then([](int n) {
      say("counter " + std::to_string(n));
    });
    return customer{};
  }
};

/// Does not start.
struct broken {
  using messages = roost::messages<>;
  static roost::init_result<broken> init() { return roost::stop("no paper"); }
};

/// Recursion that no compiler can turn into a loop.
int endless(int n) {  // NOLINT(misc-no-recursion)
  volatile char frame[1024] = {};
  frame[n % 1024] = static_cast<char>(n);
  return n == 0 ? 0 : endless(n + 1) + frame[(n + 1) % 1024];
}

/// Starts, and crashes at once, or takes the whole program with it.
struct hasty {
  struct crash {};
  using messages = roost::messages<crash>;
  std::string how;

  static roost::init_result<hasty> init(std::string how) {
    roost::cast(roost::server<hasty>{roost::self()}, crash{});
    return hasty{how};
  }
  void handle_cast(crash) {
    if (how == "segfault") std::raise(SIGSEGV);
    if (how == "overflow") std::printf("%d", endless(1));
    throw std::runtime_error("in a hurry");
  }
};

/// Takes no notice of being told to stop.
class deaf final : public roost::detail::behavior {
 public:
  roost::detail::init_outcome init() override {
    roost::trap_exit(true);
    return {};
  }
  void handle(roost::detail::message&) override {}
  std::string_view initial_call() const noexcept override { return "deaf"; }
};

roost::child_spec deaf_child() {
  auto make = [] { return std::make_unique<deaf>(); };
  return {.id = "deaf", .start = roost::detail::starter(make, "deaf"), .shutdown = roost::infinity};
}

/// Keeps itself and its worker busy, and the queues long.
struct busy {
  struct work {};
  using messages = roost::messages<work>;
  std::uint64_t done = 0;

  static roost::init_result<busy> init() {
    say("busy");
    for (int i = 0; i < 1000; ++i) roost::cast(roost::server<busy>{roost::self()}, work{});
    return busy{};
  }
  void handle_cast(work) {
    ++done;
    roost::cast(roost::server<busy>{roost::self()}, work{});
  }
};

roost::supervisor_spec tree() {
  auto conf = roost::application_config().section("sample");
  roost::supervisor_spec spec{
      .children = {
          roost::child<announcer>({.name = "a"}, std::string("a")),
          roost::child<counter>({.name = "counter"}, conf.get_in<int>("start", 0, 0, 100)),
          roost::child<roost::supervisor>(
              {.name = "inner",
               .children =
                   {roost::child<announcer>({.name = "b"}, std::string("b")),
                    roost::child<customer>()}}),
          roost::child<announcer>({.name = "c"}, std::string("c")),
      }};
  auto extra = conf.get<std::string>("extra", "");
  if (extra == "broken") spec.children.push_back(roost::child<broken>());
  if (extra == "hasty") spec.children.push_back(roost::child<hasty>(std::string("throw")));
  if (extra == "deaf") spec.children.push_back(deaf_child());
  if (extra == "segfault" || extra == "overflow")
    spec.children.push_back(roost::child<hasty>(extra));
  if (extra == "busy")
    for (int i = 0; i < 8; ++i)
      spec.children.push_back(
          roost::with(roost::child<busy>(), {.id = "busy" + std::to_string(i)}));
  say("node " + roost::node_name());
  return spec;
}

// --- several applications ------------------------------------------------------------------------

/// One announcer, and something that crashes if the application's section says so.
roost::supervisor_spec announced(const std::string& name) {
  roost::supervisor_spec spec{.children = {roost::child<announcer>({.name = name}, name)}};
  if (roost::application_env(name).get<bool>("crash", false))
    spec.children.push_back(roost::child<hasty>(std::string("throw")));
  return spec;
}

struct plain {
  std::string name;
  roost::supervisor_spec start() { return announced(name); }
};

struct web {
  std::string failing_phase;

  roost::supervisor_spec start() {
    failing_phase = roost::application_env("web").get<std::string>("phase", "");
    return announced("web");
  }
  void start_phase(std::string_view phase) {
    if (phase == failing_phase) throw std::runtime_error(failing_phase + " failed");
    say("start phase " + std::string(phase) + " of web");
    std::string names = "running";
    for (const auto& one : roost::which_applications()) names += " " + one.name;
    say(names);
  }
  void prep_stop() { say("stop prep web"); }
  void stop() { say("stop done web"); }
};

int run_several(const roost::application_options& options, int argc, char** argv) {
  auto named = [](roost::application_settings settings) {
    return roost::application<plain>(settings, plain{settings.name});
  };
  return roost::run_applications(
      options,
      {named({.name = "main", .depends_on = {"web"}}),
       roost::application<web>(
           {.depends_on = {"base", "log"}, .start_phases = {"warm_up", "accept"}}),
       named({.name = "base"}), named({.name = "log", .type = roost::temporary})},
      argc, argv);
}

}  // namespace

int main(int argc, char** argv) {
  roost::application_options options{
      .name = "sample", .config = "conf/sample.yaml", .version = "1.2.3"};
  if (std::getenv("SAMPLE_IN_A_HURRY") != nullptr)
    options.shutdown_timeout = std::chrono::milliseconds(50);
  if (std::getenv("SAMPLE_SICK") != nullptr) options.heart_check = [] { return false; };
  if (std::getenv("SAMPLE_APPLICATIONS") != nullptr) return run_several(options, argc, argv);
  return roost::run_application(options, tree, argc, argv);
}
