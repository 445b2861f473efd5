// roost_load: loads servers of Phoenix channels and measures them. See options.cpp for its help.
#include "bench/load/coordinator.hpp"
#include <cstdio>
#include <exception>
#include <fstream>

namespace {

bool write_file(const std::string& name, const std::string& text) {
  if (name.empty()) return true;
  std::ofstream file(name);
  file << text << std::flush;
  if (!file) std::fprintf(stderr, "roost_load: expected to write %s, got an error\n", name.c_str());
  return static_cast<bool>(file);
}

}  // namespace

int main(int argc, char** argv) try {
  using namespace roost::load;
  constexpr int fine = 0, missed = 1, wrong = 2, incomplete = 3;

  auto options = parse_options(argc, argv);
  auto result = run(options);
  auto& report = result.report;
  std::fputs(as_text(report).c_str(), stdout);
  if (!write_file(options.json_file, as_json(report)) ||
      !write_file(options.html_file, as_html(report)))
    return wrong;
  if (!result.complete) {
    std::fprintf(stderr, "roost_load: %s\n", result.trouble.c_str());
    return incomplete;
  }
  for (auto& verdict : report.verdicts)
    if (!verdict.holds) return missed;
  return fine;
} catch (const std::exception& error) {
  std::fprintf(stderr, "roost_load: %s\n", error.what());
  return 2;
}
