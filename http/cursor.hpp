// The opaque `cursor` of a list: where the next page starts, bound to the filters it was made for.
// The check value catches mistakes (another filter, a cut-off copy, an old version). It is no
// secret: whoever forges a cursor gets a page they may ask for anyway.
#pragma once

#include "messages/job.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace troupe::http {

std::string make_cursor(job_id before, const job_filter& filter);
/// Nothing when the text is not a cursor of this version made for this filter.
std::optional<job_id> read_cursor(std::string_view text, const job_filter& filter);

} // namespace troupe::http
