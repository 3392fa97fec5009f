# Embeds what lies beside the code as files: http/schemas/*.json and http/pages/*.
# Included: troupe_embed_files(OUT_SOURCE) has generated/http/embedded.cpp made when one changes, comes
# or goes. Run as a script (cmake -P): makes it.
include("${CMAKE_CURRENT_LIST_DIR}/EmbedSql.cmake")

function(troupe_embed_files out_source)
  set(output "${PROJECT_BINARY_DIR}/generated/http/embedded.cpp")
  file(GLOB files CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/http/schemas/*" "${PROJECT_SOURCE_DIR}/http/pages/*")
  list(SORT files)
  add_custom_command(
    OUTPUT "${output}"
    COMMAND "${CMAKE_COMMAND}" -DKIND=files "-DFILES=${files}" "-DOUTPUT=${output}"
            -P "${PROJECT_SOURCE_DIR}/cmake/EmbedFiles.cmake"
    DEPENDS ${files} "${PROJECT_SOURCE_DIR}/cmake/EmbedFiles.cmake" "${PROJECT_SOURCE_DIR}/cmake/EmbedSql.cmake"
    COMMENT "Embedding schemas and pages" VERBATIM)
  set(${out_source} "${output}" PARENT_SCOPE)
endfunction()

function(troupe_write_files)
  set(code "// Generated from http/schemas and http/pages.\n#include \"http/embedded.hpp\"\n\nnamespace troupe::http {\n")
  set(table "")
  set(number 0)
  foreach(path IN LISTS FILES)
    get_filename_component(name "${path}" NAME)
    troupe_char_array("${path}" 0 bytes)
    string(APPEND code "\nstatic const char text_${number}[] = {\n${bytes}};\n")
    string(APPEND table "    {\"${name}\", {text_${number}, sizeof text_${number} - 1}},\n")
    math(EXPR number "${number} + 1")
  endforeach()
  string(APPEND code "\nstd::span<const embedded_file> embedded_files() {\n"
                     "  static const embedded_file table[] = {\n${table}  };\n  return table;\n}\n")
  file(WRITE "${OUTPUT}" "${code}\n} // namespace troupe::http\n")
endfunction()

if(CMAKE_SCRIPT_MODE_FILE AND KIND STREQUAL "files")
  troupe_write_files()
endif()
