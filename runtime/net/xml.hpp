// private: reads XML as web services write it.
//
//   roost::net::read_xml("<a><b>x</b></a>", [](std::string_view path, const std::string& text) {
//     if (path == "a/b") …                        // text is "x"
//   });                                           // then again for "a"
//
// Strict and bounded: elements nest up to 64 deep, and a document type, with which entities could
// be declared, is an error. Attributes are skipped. The work is proportional to the size of the
// text.
//
// Thread safety: any thread. Source: Extensible Markup Language 1.0, fifth edition.
#pragma once
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace roost::net {

class xml_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Calls at the end of each element with the names from the root on, joined by slashes, and its
/// text without that of the elements in it. Throws xml_error.
void read_xml(
    std::string_view xml,
    const std::function<void(std::string_view path, const std::string& text)>& take);

}  // namespace roost::net
