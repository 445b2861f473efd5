#include "supervision/application_plan.hpp"
#include <algorithm>
#include <stdexcept>

namespace roost::detail {
namespace {

class sorter {
 public:
  explicit sorter(const std::vector<application_node>& applications)
      : applications_(applications), marks_(applications.size(), mark::fresh) {}

  std::vector<std::size_t> sort() {
    check_names();
    for (std::size_t i = 0; i < applications_.size(); ++i) visit(i);
    return std::move(order_);
  }

 private:
  enum class mark : char { fresh, on_path, placed };

  void check_names() const {
    for (std::size_t i = 0; i < applications_.size(); ++i) {
      const auto& name = applications_[i].name;
      if (name.empty())
        throw std::invalid_argument("expected an application's name to be set, got an empty one");
      if (index_of(name) != i)
        throw std::invalid_argument(
            "expected names of applications to be different, got " + name + " twice");
    }
  }

  std::size_t index_of(const std::string& name) const {
    auto found = std::ranges::find(applications_, name, &application_node::name);
    return static_cast<std::size_t>(found - applications_.begin());
  }

  void visit(std::size_t index) {
    if (marks_[index] == mark::placed) return;
    path_.push_back(index);
    if (marks_[index] == mark::on_path) throw cycle();
    marks_[index] = mark::on_path;
    for (const auto& dependency : applications_[index].depends_on) visit(known(index, dependency));
    marks_[index] = mark::placed;
    path_.pop_back();
    order_.push_back(index);
  }

  std::size_t known(std::size_t index, const std::string& dependency) const {
    auto found = index_of(dependency);
    if (found < applications_.size()) return found;
    std::string names;
    for (const auto& one : applications_) names += (names.empty() ? "" : ", ") + one.name;
    throw std::invalid_argument(
        "expected application " + applications_[index].name +
        " to depend on applications of this program (" + names + "), got " + dependency);
  }

  std::invalid_argument cycle() const {
    auto first = std::ranges::find(path_, path_.back());
    std::string names;
    for (auto at = first; at != path_.end(); ++at)
      names += (names.empty() ? "" : " → ") + applications_[*at].name;
    return std::invalid_argument(
        "expected applications to depend on each other without a cycle, got " + names);
  }

  const std::vector<application_node>& applications_;
  std::vector<mark> marks_;
  std::vector<std::size_t> path_;
  std::vector<std::size_t> order_;
};

}  // namespace

std::vector<std::size_t> start_order(const std::vector<application_node>& applications) {
  return sorter(applications).sort();
}

bool ends_node(enum restart type, bool ended_normally) {
  return type == permanent || (type == transient && !ended_normally);
}

}  // namespace roost::detail
