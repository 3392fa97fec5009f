# The server for tests with label pg: one per build tree, started before the first of them and
# stopped after the last by ctest's fixture `postgres`. Tests find it by TROUPE_TEST_DATABASE_URL.
string(SHA1 _tree "${PROJECT_BINARY_DIR}")
string(SUBSTRING "${_tree}" 0 10 _tree)
set(TROUPE_TEST_SERVER "/tmp/troupe-test-${_tree}")
set(TROUPE_TEST_DATABASE_URL
    "postgresql://postgres@/postgres?host=${TROUPE_TEST_SERVER}&port=5432")

# Durability is not what these tests look at; those that do start servers of their own.
add_test(NAME postgres_start
  COMMAND "${PROJECT_SOURCE_DIR}/scripts/test-database" start --no-fsync "${TROUPE_TEST_SERVER}")
add_test(NAME postgres_stop
  COMMAND "${PROJECT_SOURCE_DIR}/scripts/test-database" stop "${TROUPE_TEST_SERVER}")
set_tests_properties(postgres_start PROPERTIES FIXTURES_SETUP postgres TIMEOUT 600 LABELS pg)
set_tests_properties(postgres_stop PROPERTIES FIXTURES_CLEANUP postgres TIMEOUT 600 LABELS pg)

# What pg tests share: databases of their own, servers and networks of their own to be cruel to, and a
# driver for connections.
add_library(troupe_test_database STATIC
  "${CMAKE_CURRENT_LIST_DIR}/database.cpp" "${CMAKE_CURRENT_LIST_DIR}/drive.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/own_server.cpp" "${CMAKE_CURRENT_LIST_DIR}/chaos_proxy.cpp")
target_compile_definitions(troupe_test_database PRIVATE
  TROUPE_TEST_DATABASE_SCRIPT="${PROJECT_SOURCE_DIR}/scripts/test-database")
target_link_libraries(troupe_test_database PUBLIC troupe_db PRIVATE troupe_options)
