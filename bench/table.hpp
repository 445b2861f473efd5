// private: what the benchmark programs share: a row per figure, a table for people and JSON for
// tools.
#pragma once
#include <cstdio>
#include <fstream>
#include <map>
#include <string>
#include <vector>

namespace roost::bench {

struct row {
  std::string figure;
  std::string unit;
  double roost = 0;
  std::string peer = {};  // who it is compared with; empty: nobody
  double peer_value = 0;
  double limit_value = 0;  // the physical limit, where one was measured
  bool less_is_better = false;

  /// How many times better than the peer.
  double ratio() const {
    if (peer_value == 0 || roost == 0) return 0;
    return less_is_better ? peer_value / roost : roost / peer_value;
  }
};

inline void print(const std::vector<row>& rows) {
  auto number = [](double value) {
    char text[32] = "-";
    if (value != 0) std::snprintf(text, sizeof text, value < 100 ? "%.2f" : "%.0f", value);
    return std::string(text);
  };
  std::printf(
      "%-36s %-9s %13s %13s %13s %7s\n", "figure", "unit", "roost", "peer", "limit", "ratio");
  for (auto& row : rows)
    std::printf(
        "%-36s %-9s %13s %13s %13s %7s\n", row.figure.c_str(), row.unit.c_str(),
        number(row.roost).c_str(), number(row.peer_value).c_str(), number(row.limit_value).c_str(),
        number(row.ratio()).c_str());
}

inline void write_json(const std::vector<row>& rows, const std::string& file) {
  std::ofstream out(file);
  out << "[\n";
  for (std::size_t i = 0; i < rows.size(); ++i) {
    auto& row = rows[i];
    out << "  {\"figure\": \"" << row.figure << "\", \"unit\": \"" << row.unit
        << "\", \"roost\": " << row.roost << ", \"peer\": \"" << row.peer
        << "\", \"peer_value\": " << row.peer_value << ", \"limit_value\": " << row.limit_value
        << ", \"ratio\": " << row.ratio() << "}" << (i + 1 < rows.size() ? "," : "") << "\n";
  }
  out << "]\n";
}

/// "name value" lines, as the peers print them.
inline std::map<std::string, double> run_peer(const std::string& command) {
  std::map<std::string, double> values;
  auto* pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) return values;
  char name[64];
  double value;
  while (std::fscanf(pipe, "%63s %lf", name, &value) == 2) values[name] = value;
  ::pclose(pipe);
  return values;
}

}  // namespace roost::bench
