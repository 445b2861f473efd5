// A node with two replicated tables, for replicated_ets_test to drive by remote calls, to freeze
// and to kill.
//
//   sample_replica NODE EPMD_PORT [NODE TO CONNECT TO…]
#include "runtime/distribution/rpc.hpp"
#include "runtime/runtime.hpp"
#include "tests/distribution/sample_tables.hpp"
#include <unistd.h>
#include <cstdio>

using namespace roost;
using namespace roost::test;

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  try {
    roost::runtime runtime{{.schedulers = 2}};
    node::start(node_options(argv[1], static_cast<std::uint16_t>(std::stoi(argv[2]))));
    auto notes = open_notes();
    auto tallies = open_tallies();
    rpc::offer("insert", [=](int id, std::string text) { notes.insert({id, std::move(text)}); });
    rpc::offer("erase", [=](int id) { return notes.erase(id); });
    rpc::offer("fill", [=](int from, int to, std::string text) {
      for (int id = from; id < to; ++id) notes.insert({id, text});
    });
    rpc::offer("size", [=] { return notes.size(); });
    rpc::offer("checksum", [=] { return checksum(notes); });
    rpc::offer("peers", [=] { return notes.peers().size(); });
    rpc::offer("count", [=](std::string name, int times) {
      for (int i = 0; i < times; ++i) count(tallies, name);
    });
    rpc::offer("sum", [=](std::string name) { return sum(tallies, name); });
    rpc::offer("close", [=] { notes.delete_table(); });
    for (int i = 3; i < argc; ++i) node::connect(argv[i]).get();
    std::puts("ready");
    std::fflush(stdout);
    for (;;) ::pause();
  } catch (const std::exception& error) {
    std::puts(error.what());
    return 1;
  }
}
