# troupe_room(NAME sources... LINK libraries...): one static library per room, named troupe_NAME.
function(troupe_room name)
  cmake_parse_arguments(ARG "" "" "LINK;PRIVATE_LINK;PCH" ${ARGN})
  add_library(troupe_${name} STATIC ${ARG_UNPARSED_ARGUMENTS})
  target_link_libraries(troupe_${name} PUBLIC ${ARG_LINK} PRIVATE ${ARG_PRIVATE_LINK}
    $<BUILD_INTERFACE:troupe_options>)
  target_include_directories(troupe_${name} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}> $<BUILD_INTERFACE:${PROJECT_BINARY_DIR}/generated>)
  if(ARG_PCH)
    target_precompile_headers(troupe_${name} PRIVATE ${ARG_PCH})
  endif()
endfunction()

# troupe_test_pch(NAME HEADER LINK libraries...): an object library that exists to precompile HEADER for
# tests. It is compiled as a program's objects are (-fPIE): g++ refuses a header made with other code
# generation flags. BOOST_TEST_MODULE is the same for all: another would need a header of its own.
function(troupe_test_pch name header)
  cmake_parse_arguments(ARG "" "" "LINK" ${ARGN})
  add_library(${name} OBJECT "${PROJECT_SOURCE_DIR}/tests/pch.cpp")
  target_link_libraries(${name} PRIVATE ${ARG_LINK} Threads::Threads Boost::unit_test_framework troupe_options)
  set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
  target_compile_options(${name} PRIVATE -fPIE)
  target_compile_definitions(${name} PRIVATE BOOST_TEST_DYN_LINK BOOST_TEST_MODULE=troupe)
  target_precompile_headers(${name} PRIVATE "${CMAKE_CURRENT_SOURCE_DIR}/${header}")
endfunction()

# troupe_test(FILE LINK libraries...): a Boost.Test program named after its file.
# x_test.cpp runs anywhere (label unit); x_pgtest.cpp needs PostgreSQL (label pg, fixture postgres).
# It takes the precompiled header of test_pch, or of the target that REUSE_PCH names.
function(troupe_test file)
  cmake_parse_arguments(ARG "" "TIMEOUT;REUSE_PCH" "LINK" ${ARGN})
  get_filename_component(stem "${file}" NAME_WE)
  get_filename_component(room "${CMAKE_CURRENT_SOURCE_DIR}" NAME)
  set(name "${room}_${stem}")
  add_executable(${name} ${file})
  target_link_libraries(${name} PRIVATE ${ARG_LINK} Boost::unit_test_framework troupe_options)
  target_compile_definitions(${name} PRIVATE BOOST_TEST_DYN_LINK BOOST_TEST_MODULE=troupe)
  if(NOT ARG_REUSE_PCH)
    set(ARG_REUSE_PCH test_pch)
  endif()
  target_precompile_headers(${name} REUSE_FROM ${ARG_REUSE_PCH})
  # A guard only: machines that build and test at once are slow, and what the sanitizers make of a test is slower.
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  if(TROUPE_SANITIZE)
    math(EXPR ARG_TIMEOUT "2 * ${ARG_TIMEOUT}")
  endif()
  add_test(NAME ${name} COMMAND ${name} --log_level=test_suite --color_output=no)
  set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS unit)
  if(stem MATCHES "_pgtest$")
    set_tests_properties(${name} PROPERTIES LABELS pg FIXTURES_REQUIRED postgres
      ENVIRONMENT "TROUPE_TEST_DATABASE_URL=${TROUPE_TEST_DATABASE_URL}")
  endif()
endfunction()
