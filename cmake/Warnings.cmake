# One interface target carries what every translation unit of ours is compiled with.
add_library(troupe_options INTERFACE)
target_compile_options(troupe_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wold-style-cast
  -Wimplicit-fallthrough -Wswitch -Werror -fno-omit-frame-pointer)
target_include_directories(troupe_options INTERFACE
  "${PROJECT_SOURCE_DIR}" "${PROJECT_BINARY_DIR}/generated")
# Boost 1.74's Beast aborts the process on a split final chunk when its assertions are on.
target_compile_definitions(troupe_options INTERFACE BOOST_DISABLE_ASSERTS)

find_program(LLD_PROGRAM ld.lld)
if(LLD_PROGRAM)
  add_link_options(-fuse-ld=lld)
endif()

if(TROUPE_SANITIZE STREQUAL "address")
  # -fno-sanitize=null: CAF 0.17.6 binds a null reference inside its spawn (harmless, not ours).
  add_compile_options(-fsanitize=address,undefined -fno-sanitize=null -fno-sanitize-recover=undefined)
  add_link_options(-fsanitize=address,undefined)
elseif(TROUPE_SANITIZE STREQUAL "thread")
  add_compile_options(-fsanitize=thread)
  # ThreadSanitizer does not see fences; Asio synchronises by its mutex anyway.
  add_compile_definitions(BOOST_ASIO_DISABLE_FENCED_BLOCK)
  add_link_options(-fsanitize=thread)
elseif(TROUPE_SANITIZE)
  message(FATAL_ERROR "TROUPE_SANITIZE is '${TROUPE_SANITIZE}'; use address, thread or nothing")
endif()
