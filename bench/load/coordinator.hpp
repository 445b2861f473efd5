// private: starts the processes that hold the clients, leads them through the phases of the mode,
// and makes the report.
#pragma once
#include "bench/load/report.hpp"

namespace roost::load {

struct outcome_of_run {
  load::report report;
  bool complete = true;  // false: the clients could not connect, or a server is gone
  std::string trouble;   // why, in one sentence
};

outcome_of_run run(const options& options);

}  // namespace roost::load
