// A node's port mapper alone, for port_mapper_test to run and to kill.
//
//   sample_port_mapper NODE PORT EPMD_PORT [ADDRESS…]
#include "runtime/distribution/port_mapper.hpp"
#include <unistd.h>
#include <cstdio>
#include <exception>

int main(int argc, char** argv) {
  if (argc < 4) return 2;
  auto number = [&](int i) { return static_cast<std::uint16_t>(std::stoi(argv[i])); };
  try {
    roost::detail::port_mapper mapper(
        {.node = argv[1],
         .port = number(2),
         .epmd_port = number(3),
         .addresses = {argv + 4, argv + argc},
         .on_event = [](std::string_view event, std::string_view detail) {
           auto line = std::string(event) + " " + std::string(detail) + "\n";
           std::fputs(line.c_str(), stdout);
           std::fflush(stdout);
         }});
    for (;;) ::pause();
  } catch (const std::exception& error) {
    std::puts(error.what());
    return 1;
  }
}
