// Durability is not up for tuning: what the engine answers with 2xx has to survive a power cut.
#include "launcher/postgres_configuration.hpp"

namespace troupe {

namespace {

constexpr const char* settings =
    R"(# Written by troupe at every start. Put settings of your own into postgresql.conf, below the
# include line; they win over these.
port = 5432
listen_addresses = ''
unix_socket_permissions = 0700
max_connections = 100

fsync = on
full_page_writes = on
synchronous_commit = on
# After a crash: one call in place of a thousand, each of which waits for the disk. Since Linux 5.8
# it reports every error of the disk, too.
recovery_init_sync_method = syncfs

shared_buffers = 256MB
wal_buffers = 16MB
max_wal_size = 2GB
min_wal_size = 256MB
checkpoint_timeout = 15min
checkpoint_completion_target = 0.9
random_page_cost = 1.1

# The engine's statements are short: compiling them costs more than it gives.
jit = off

# Nobody holds a transaction or a dead connection open for ever.
idle_in_transaction_session_timeout = 5min
client_connection_check_interval = 10s

timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %q%a '
log_lock_waits = on
log_temp_files = 64MB
log_checkpoints = off
cluster_name = 'troupe'
)";

/// A path as one element of a list: in double quotes, within the file's single quotes.
std::string quoted_list_entry(const std::string& path) {
  std::string quoted = "'\"";
  for (const char c : path) {
    if (c == '\'' || c == '"' || c == '\\')
      quoted += c; // each of the three is escaped by itself
    quoted += c;
  }
  return quoted + "\"'";
}

} // namespace

std::string postgres_configuration(const std::filesystem::path& socket_directory) {
  return settings + ("unix_socket_directories = " + quoted_list_entry(socket_directory.string()))
         + "\n";
}

} // namespace troupe
