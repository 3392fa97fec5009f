// A text compressed while it comes, on the thread that brings each piece.
#pragma once

#include "http/framing.hpp"
#include "messages/job_export.hpp"

#include <memory>

namespace troupe::http {

/// In gzip's format, level 1: about 260 KiB of memory for each. A piece of it may be empty.
std::unique_ptr<text_source> gzipped(std::unique_ptr<text_source> plain);

/// The request's Accept-Encoding has gzip, or `*`, with a weight above 0.
bool accepts_gzip(const request_head& head);

} // namespace troupe::http
