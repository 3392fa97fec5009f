// Who may do what, and how each route keeps to queues: said once more, beside the table that is
// tested.
#pragma once

#include "http/router.hpp"
#include "messages/role.hpp"

#include <map>
#include <set>
#include <string>

namespace troupe::tests {

/// As docs/security.md has it.
inline const std::map<role, std::set<role>> may_call{
    {role::viewer, {role::viewer}},
    {role::producer, {role::viewer, role::producer}},
    {role::worker, {role::viewer, role::worker}},
    {role::operator_, {role::viewer, role::producer, role::operator_}},
    {role::admin, {role::viewer, role::producer, role::worker, role::operator_, role::admin}}};

/// How each route that is not an admin's keeps to queues. One that is missing fails.
inline const std::map<std::string, http::queue_scope> scopes{
    {"listJobs", http::queue_scope::filter},      {"enqueueJob", http::queue_scope::body},
    {"enqueueJobs", http::queue_scope::body},     {"exportJobLines", http::queue_scope::filter},
    {"exportJobRows", http::queue_scope::filter}, {"exportJobs", http::queue_scope::filter},
    {"startExport", http::queue_scope::body},     {"listExports", http::queue_scope::filter},
    {"getExport", http::queue_scope::body},       {"deleteExport", http::queue_scope::body},
    {"getExportFile", http::queue_scope::body},   {"countJobs", http::queue_scope::filter},
    {"getJob", http::queue_scope::job},           {"getJobLog", http::queue_scope::job},
    {"explainJob", http::queue_scope::job},       {"editJob", http::queue_scope::job},
    {"deleteJob", http::queue_scope::job},        {"cancelJob", http::queue_scope::job},
    {"retryJob", http::queue_scope::job},         {"startBulk", http::queue_scope::none},
    {"listBulks", http::queue_scope::none},       {"getBulk", http::queue_scope::none},
    {"cancelBulk", http::queue_scope::none},      {"listQueues", http::queue_scope::none},
    {"getQueue", http::queue_scope::path},        {"limitQueue", http::queue_scope::path},
    {"pauseQueue", http::queue_scope::path},      {"resumeQueue", http::queue_scope::path},
    {"drainQueue", http::queue_scope::path},      {"joinWork", http::queue_scope::body},
    {"claimWork", http::queue_scope::body},       {"beatWork", http::queue_scope::open},
    {"finishWork", http::queue_scope::open},      {"reportWork", http::queue_scope::open},
    {"leaveWork", http::queue_scope::open},       {"quietWorker", http::queue_scope::none},
    {"terminateWorker", http::queue_scope::none}, {"listNodes", http::queue_scope::none},
    {"getNode", http::queue_scope::none},         {"drainNode", http::queue_scope::none},
    {"resumeNode", http::queue_scope::none},      {"getPool", http::queue_scope::none},
    {"getRetention", http::queue_scope::none},    {"askDoctor", http::queue_scope::none},
    {"getHealth", http::queue_scope::none},       {"getMetrics", http::queue_scope::none},
    {"getIndex", http::queue_scope::open},        {"getOpenApi", http::queue_scope::open},
    {"streamEvents", http::queue_scope::query}};

} // namespace troupe::tests
