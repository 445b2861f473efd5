// private: the files of the dashboard's page, which page/build.mjs puts into the program.
#pragma once
#include <span>
#include <string_view>

namespace roost::detail {

struct page_file {
  std::string_view name;  // with a digest in it, so that it may be kept for ever
  std::string_view content_type;
  std::string_view contents;
  std::string_view gzipped;
};

/// Everything but the two documents. Empty: built without the page (ROOST_DASHBOARD=OFF).
std::span<const page_file> page_files();
std::string_view page_document();
std::string_view sign_in_document();

}  // namespace roost::detail
