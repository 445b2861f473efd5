// Metrics as Prometheus reads them.
#include "operations/exposition.hpp"
#include <doctest/doctest.h>

using namespace roost::detail;

TEST_CASE("counters, gauges and histograms are written as the format wants them") {
  exposition page;
  page.counter("a_total", "How many \"a\".", 3, {{"kind", "x\"\\\ny"}});
  page.gauge("b_bytes", "Size.", 1.5);
  page.counter("a_total", "How many.", 4, {{"kind", "z"}});
  const double bounds[]{0.1, 1};
  const std::uint64_t counts[]{2, 1, 4};
  page.histogram("c_seconds", "Times.", bounds, counts, 12.5);
  CHECK(
      page.text() ==
      "# HELP a_total How many \"a\".\n"
      "# TYPE a_total counter\n"
      "a_total{kind=\"x\\\"\\\\\\ny\"} 3\n"
      "a_total{kind=\"z\"} 4\n"
      "# HELP b_bytes Size.\n"
      "# TYPE b_bytes gauge\n"
      "b_bytes 1.5\n"
      "# HELP c_seconds Times.\n"
      "# TYPE c_seconds histogram\n"
      "c_seconds_count 7\n"
      "c_seconds_sum 12.5\n"
      "c_seconds_bucket{le=\"0.1\"} 2\n"
      "c_seconds_bucket{le=\"1\"} 3\n"
      "c_seconds_bucket{le=\"+Inf\"} 7\n");
}

TEST_CASE("several nodes' texts become one, with each metric in one place") {
  auto of = [](const std::string& node, double a, bool b) {
    exposition page;
    page.gauge("a", "A.", a);
    if (b) page.gauge("b", "B.", 1);
    return page.text(node);
  };
  CHECK(
      merge_texts({of("x@h", 1, false), of("y@h", 2, true), of("z@h", 3, true)}) ==
      "# HELP a A.\n"
      "# TYPE a gauge\n"
      "a{node=\"x@h\"} 1\n"
      "a{node=\"y@h\"} 2\n"
      "a{node=\"z@h\"} 3\n"
      "# HELP b B.\n"
      "# TYPE b gauge\n"
      "b{node=\"y@h\"} 1\n"
      "b{node=\"z@h\"} 1\n");
  CHECK(merge_texts({}).empty());
  CHECK(merge_texts({"", "nonsense", "# HELP x X"}) == "# HELP x X");
}

TEST_CASE("names become those that Prometheus allows") {
  CHECK(metric_name("my_app.import-files.count") == "my_app_import_files_count");
  CHECK(metric_name("2nd") == "_2nd");
}
