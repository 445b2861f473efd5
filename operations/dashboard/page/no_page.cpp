// Instead of the page, when roost is built with ROOST_DASHBOARD=OFF.
#include "operations/dashboard/page.hpp"

namespace roost::detail {

std::span<const page_file> page_files() { return {}; }
std::string_view page_document() { return {}; }
std::string_view sign_in_document() { return {}; }

}  // namespace roost::detail
