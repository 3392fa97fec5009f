// The named statements about bearer tokens and the audit: values to query, rows to values. Secrets
// do not come here, only their hashes.
#pragma once

#include "db/query.hpp"
#include "db/result.hpp"
#include "messages/audit.hpp"
#include "messages/token.hpp"

#include <optional>

namespace troupe::db {

query create_token_query(const create_token& ask);
query revoke_token_query(const revoke_token& ask);
/// After either of these.
token_record decode_token(const result& rows);

query tokens_query(const list_tokens& ask);
/// Has a `next` when the page is full.
token_page decode_tokens(const result& rows, const list_tokens& asked);

query find_token_query(const find_token& ask);
/// Nothing: no token has this hash.
std::optional<found_token> decode_found_token(const result& rows);

query audit_query(const list_audit& ask);
/// Has a `next` when the page is full.
audit_page decode_audit(const result& rows, const list_audit& asked);

} // namespace troupe::db
