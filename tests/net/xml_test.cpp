#include "runtime/net/xml.hpp"
#include <doctest/doctest.h>
#include <string>
#include <utility>
#include <vector>

using roost::net::read_xml;
using roost::net::xml_error;
using elements = std::vector<std::pair<std::string, std::string>>;

namespace {

elements read(std::string_view xml) {
  elements seen;
  read_xml(xml, [&](auto path, auto& text) { seen.emplace_back(path, text); });
  return seen;
}

std::string nested(std::size_t depth) {
  std::string xml;
  for (std::size_t i = 0; i < depth; ++i) xml += "<a>";
  for (std::size_t i = 0; i < depth; ++i) xml += "</a>";
  return xml;
}

}  // namespace

TEST_CASE("elements are told when they end, with their path and their text") {
  CHECK(
      read("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
           "<!-- a comment with a </b> in it -->\n"
           "<a xmlns='x>y' b = \"</a>\"><b>one</b><c/><d e='f' /><b> two </b ></a>\n") ==
      elements{{"a/b", "one"}, {"a/c", ""}, {"a/d", ""}, {"a/b", " two "}, {"a", ""}});
  CHECK(read("<a>1<b>2</b>3</a>") == elements{{"a/b", "2"}, {"a", "13"}});
}

TEST_CASE("what is escaped is unescaped") {
  CHECK(
      read("<a>&lt;&gt;&amp;&quot;&apos;&#65;&#xe9;&#x20ac;&#x1F426;</a>") ==
      elements{{"a", "<>&\"'Aé€🐦"}});
  CHECK(read("<a>x<![CDATA[<b>&amp;]]>y</a>") == elements{{"a", "x<b>&amp;y"}});
}

TEST_CASE("what is wrong is an error") {
  for (auto* xml :
       {"",
        "  ",
        "text",
        "<a>",
        "</a>",
        "<a></b>",
        "<a><b></a></b>",
        "<a/><b/>",
        "<a/>text",
        "<a",
        "<a b='>",
        "<a <b/>",
        "<a / >",
        "<>",
        "< a/>",
        "<a></a",
        "<!-- ",
        "<a><![CDATA[",
        "<!DOCTYPE a><a/>",
        "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
        "<a>&b;</a>",
        "<a>&</a>",
        "<a>&lt</a>",
        "<a>&#0;</a>",
        "<a>&#xD800;</a>",
        "<a>&#x110000;</a>",
        "<a>&#;</a>",
        "<a>&#x;</a>",
        "<a>&#99999999999;</a>",
        "<a>&;</a>",
        "<?xml"}) {
    CAPTURE(std::string(xml));
    CHECK_THROWS_AS(read(xml), xml_error);
  }
}

TEST_CASE("elements nest up to 64 deep") {
  CHECK(read(nested(64)).size() == 64);
  CHECK_THROWS_AS(read(nested(65)), xml_error);
  CHECK_THROWS_AS(read(nested(1'000'000)), xml_error);
}

TEST_CASE("every beginning of a document is an error, and nothing worse") {
  std::string xml = "<?xml version='1'?><a b='c'><!--d--><e>&#x20ac;</e><![CDATA[f]]></a>";
  for (std::size_t size = 0; size < xml.size(); ++size)
    CHECK_THROWS_AS(read(xml.substr(0, size)), xml_error);
  CHECK(read(xml).size() == 2);
}
