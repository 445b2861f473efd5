// The program that application_test runs: a small tree that says on stdout what it does.
#include "supervision/application.hpp"
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

/// Starts, and crashes at once.
struct hasty {
  struct crash {};
  using messages = roost::messages<crash>;
  static roost::init_result<hasty> init() {
    roost::cast(roost::server<hasty>{roost::self()}, crash{});
    return hasty{};
  }
  void handle_cast(crash) { throw std::runtime_error("in a hurry"); }
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
  if (extra == "hasty") spec.children.push_back(roost::child<hasty>());
  if (extra == "deaf") spec.children.push_back(deaf_child());
  say("node " + roost::node_name());
  return spec;
}

}  // namespace

int main(int argc, char** argv) {
  roost::application_options options{
      .name = "sample", .config = "conf/sample.yaml", .version = "1.2.3"};
  if (std::getenv("SAMPLE_IN_A_HURRY") != nullptr)
    options.shutdown_timeout = std::chrono::milliseconds(50);
  return roost::run_application(options, tree, argc, argv);
}
