// A text compressed while it comes, on the thread that brings each piece.
#pragma once

#include "http/framing.hpp"
#include "http/message.hpp"
#include "messages/job_export.hpp"

#include <memory>

namespace troupe::http {

/// In gzip's format, level 1: about 260 KiB of memory for each. A piece of it may be empty.
std::unique_ptr<text_source> gzipped(std::unique_ptr<text_source> plain);

std::string gzip_of(const std::string& text);

/// Compresses the body of a JSON answer that has `least` bytes or more, if the client takes that;
/// marks it as one that goes by that either way. Leaves alone what has a tag, which is of the bytes
/// as they are. On the thread that brings the answer: a few ms for each MiB.
void compress(response& answer, bool accepted, std::size_t least);

/// The request's Accept-Encoding has gzip, or `*`, with a weight above 0.
bool accepts_gzip(const request_head& head);

} // namespace troupe::http
