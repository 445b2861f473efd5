// private: answers that are always the same, and how an answer begins on the wire.
#pragma once
#include "channels/http.hpp"

namespace roost::detail {

std::string lowered(std::string_view text);  // ASCII

std::string_view reason_phrase(int status);

/// {"errors": {"detail": …}}, as Phoenix renders them.
http_response error_response(int status, std::string_view detail);
http_response plain_response(int status, std::string body);

/// Status line and headers of a response with a body of so many bytes. Values with line breaks are
/// left out: nothing that a program puts into a header may begin another one.
void append_head(
    std::string& out, const http_response& response, std::size_t size, bool keep_alive);

}  // namespace roost::detail
