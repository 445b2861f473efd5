// What the nodes of sample_node.cpp share with the others: groups, global names and a table.
#pragma once
#include <string>
#include <vector>

namespace roost::test {

/// Obeys `join GROUP`, `members GROUP`, `register NAME`, `owner NAME`, `open`, `put ID TEXT`,
/// `rows`; answers nothing for other commands. `lost` hears of names that this node had to give
/// back.
std::string obey_shared(const std::vector<std::string>& words, void (*lost)(const std::string&));

}  // namespace roost::test
