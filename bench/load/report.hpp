// private: what a run has found, for people and for programs.
#pragma once
#include "bench/load/histogram.hpp"
#include "bench/load/options.hpp"
#include <string>

namespace roost::load {

/// One second of a run.
struct sample {
  double second = 0;  // since the first client began
  std::string phase;
  double joined = 0;  // clients
  double rate = 0;    // events a second
  double p50 = 0;     // microseconds
  double p99 = 0;
  double cpu = 0;     // processors of the server in use: 1 is a whole one
  double memory = 0;  // bytes of the server
};

struct report {
  std::string mode;
  std::string started;  // UTC
  std::string machine;
  std::vector<std::pair<std::string, std::string>> settings;
  std::vector<figure> figures;
  std::vector<sample> samples;
  std::vector<histogram::point> curve;
  std::vector<verdict> verdicts;

  void add(std::string name, double value) { figures.push_back({std::move(name), value}); }
};

std::string as_text(const report& report);
std::string as_json(const report& report);
/// A page with charts that needs nothing else.
std::string as_html(const report& report);

}  // namespace roost::load
