# Embeds db/sql/NAME.sql and db/migrations/NNNNNN_name.sql into the program.
# Included: troupe_embed_sql(OUT_SOURCES) writes generated/db/statements.hpp at configure time (again
# when a file comes or goes) and has the two .cpp files made at build time when a text changes.
# Run as a script (cmake -P): makes those .cpp files. Texts become char arrays, not string literals,
# whose length the standard bounds. A statement's file may have a line `-- timeout: 30s` (or ms, min)
# that becomes statement::timeout, and lines `-- reads`, `-- brief` and `-- by rows` that become the
# members of these names.

set(TROUPE_STATEMENT_PATTERN "^[a-z][a-z0-9_]*$")
set(TROUPE_MIGRATION_PATTERN "^([0-9][0-9][0-9][0-9][0-9][0-9])_([a-z][a-z0-9_]*)$")

function(troupe_check_sql_name path pattern)
  get_filename_component(stem "${path}" NAME_WE)
  if(NOT stem MATCHES "${pattern}")
    message(FATAL_ERROR "${path}: the name without .sql has to match ${pattern}")
  endif()
endfunction()

function(troupe_embed_sql out_sources)
  set(directory "${PROJECT_BINARY_DIR}/generated/db")
  file(GLOB statements CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/db/sql/*.sql")
  file(GLOB migrations CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/db/migrations/*.sql")
  list(SORT statements)
  list(SORT migrations)

  set(declarations "")
  foreach(path IN LISTS statements)
    troupe_check_sql_name("${path}" "${TROUPE_STATEMENT_PATTERN}")
    get_filename_component(name "${path}" NAME_WE)
    string(APPEND declarations "extern const statement ${name};\n")
  endforeach()
  set(earlier "")
  foreach(path IN LISTS migrations)
    troupe_check_sql_name("${path}" "${TROUPE_MIGRATION_PATTERN}")
    get_filename_component(name "${path}" NAME_WE)
    string(SUBSTRING "${name}" 0 6 number)
    if(number STREQUAL earlier)
      message(FATAL_ERROR "${path}: two migrations have the number ${number}")
    endif()
    set(earlier "${number}")
  endforeach()
  file(CONFIGURE OUTPUT "${directory}/statements.hpp" @ONLY CONTENT
"// Generated from db/sql/*.sql by cmake/EmbedSql.cmake.
#pragma once

#include \"db/statement.hpp\"

#include <span>

namespace troupe::db::sql {

@declarations@
/// All of them, by name.
std::span<const statement* const> all();

} // namespace troupe::db::sql
")

  foreach(kind IN ITEMS statements migrations)
    add_custom_command(
      OUTPUT "${directory}/${kind}.cpp"
      COMMAND "${CMAKE_COMMAND}" -DKIND=${kind} "-DFILES=${${kind}}"
              "-DOUTPUT=${directory}/${kind}.cpp" -P "${PROJECT_SOURCE_DIR}/cmake/EmbedSql.cmake"
      DEPENDS ${${kind}} "${PROJECT_SOURCE_DIR}/cmake/EmbedSql.cmake"
      COMMENT "Embedding SQL ${kind}"
      VERBATIM)
    list(APPEND sources "${directory}/${kind}.cpp")
  endforeach()
  set(${out_sources} ${sources} PARENT_SCOPE)
endfunction()

# -- script mode ------------------------------------------------------------------------------------

# Its bytes from `offset` on.
function(troupe_char_array path offset out)
  file(READ "${path}" hex OFFSET ${offset} HEX)
  string(REGEX REPLACE "(................................)" "\\1\n" hex "${hex}")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "'\\\\x\\1'," hex "${hex}")
  string(FIND "${hex}" "\\x00" nul)
  if(NOT nul EQUAL -1)
    message(FATAL_ERROR "${path} contains a NUL byte")
  endif()
  set(${out} "${hex}'\\0'" PARENT_SCOPE)
endfunction()

# Where the statement begins: what is said about it is not sent.
function(troupe_skip_comments path out)
  file(READ "${path}" text)
  string(REGEX MATCH "^(--[^\n]*\n)*" comments "${text}")
  string(LENGTH "${comments}" length)
  set(${out} ${length} PARENT_SCOPE)
endfunction()

# Milliseconds of the file's timeout line, 0 without one.
function(troupe_statement_timeout path out)
  file(STRINGS "${path}" lines REGEX "^--[ ]*timeout")
  set(milliseconds 0)
  foreach(line IN LISTS lines)
    if(NOT line MATCHES "^-- timeout: ([1-9][0-9]*)(ms|s|min)$" OR NOT milliseconds EQUAL 0)
      message(FATAL_ERROR "${path}: write one line such as `-- timeout: 30s`, not `${line}`")
    endif()
    set(factor_ms 1)
    set(factor_s 1000)
    set(factor_min 60000)
    math(EXPR milliseconds "${CMAKE_MATCH_1} * ${factor_${CMAKE_MATCH_2}}")
  endforeach()
  set(${out} ${milliseconds} PARENT_SCOPE)
endfunction()

# true when the file has this line.
function(troupe_statement_is path line out)
  file(STRINGS "${path}" lines REGEX "^-- ${line}$")
  set(${out} false PARENT_SCOPE)
  if(lines)
    set(${out} true PARENT_SCOPE)
  endif()
endfunction()

function(troupe_write_statements)
  set(code "// Generated from db/sql/*.sql.\n#include \"db/statements.hpp\"\n\nnamespace troupe::db::sql {\n")
  set(table "")
  foreach(path IN LISTS FILES)
    get_filename_component(name "${path}" NAME_WE)
    troupe_skip_comments("${path}" begin)
    troupe_char_array("${path}" ${begin} bytes)
    troupe_statement_timeout("${path}" milliseconds)
    troupe_statement_is("${path}" "reads" reads)
    troupe_statement_is("${path}" "brief" brief)
    troupe_statement_is("${path}" "by rows" by_rows)
    string(APPEND code "\nstatic const char text_of_${name}[] = {\n${bytes}};\n"
                       "const statement ${name}{\"${name}\", text_of_${name}, "
                       "std::chrono::milliseconds{${milliseconds}}, ${reads}, true, ${brief}, ${by_rows}};\n")
    string(APPEND table "    &${name},\n")
  endforeach()
  string(APPEND code "\nstd::span<const statement* const> all() {\n")
  if(table)
    string(APPEND code "  static const statement* const table[] = {\n${table}  };\n  return table;\n}\n")
  else()
    string(APPEND code "  return {};\n}\n")
  endif()
  file(WRITE "${OUTPUT}" "${code}\n} // namespace troupe::db::sql\n")
endfunction()

function(troupe_write_migrations)
  set(code "// Generated from db/migrations/*.sql.\n#include \"db/migrate.hpp\"\n\nnamespace troupe::db {\n")
  set(table "")
  foreach(path IN LISTS FILES)
    get_filename_component(stem "${path}" NAME_WE)
    string(REGEX MATCH "${TROUPE_MIGRATION_PATTERN}" _ "${stem}")
    set(name "${CMAKE_MATCH_2}")
    string(REGEX REPLACE "^0+" "" number "${CMAKE_MATCH_1}")
    troupe_char_array("${path}" 0 bytes)
    string(APPEND code "\nstatic const char text_of_${number}[] = {\n${bytes}};\n")
    string(APPEND table "    {${number}, \"${name}\", text_of_${number}},\n")
  endforeach()
  string(APPEND code "\nstd::span<const migration> migrations() {\n")
  if(table)
    string(APPEND code "  static const migration table[] = {\n${table}  };\n  return table;\n}\n")
  else()
    string(APPEND code "  return {};\n}\n")
  endif()
  file(WRITE "${OUTPUT}" "${code}\n} // namespace troupe::db\n")
endfunction()

if(CMAKE_SCRIPT_MODE_FILE)
  if(KIND STREQUAL "statements")
    troupe_write_statements()
  elseif(KIND STREQUAL "migrations")
    troupe_write_migrations()
  endif()
endif()
