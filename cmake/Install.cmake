# cmake --install in two components: `program` (troupe with its manual page, completions, dashboard,
# alerts and clients) and `development` (what find_package(troupe) gives another project).
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

# -- program ------------------------------------------------------------------------------------------
set(printed "${PROJECT_BINARY_DIR}/generated/printed")
file(MAKE_DIRECTORY "${printed}")
# troupe_install_printed(FILE DIRECTORY words...): what `troupe words...` prints, asked for when it is
# installed, so that it is of the same program.
function(troupe_install_printed file directory)
  string(JOIN " " words ${ARGN})
  install(CODE "execute_process(COMMAND \"$<TARGET_FILE:troupe>\" ${words} OUTPUT_FILE \"${printed}/${file}\"
    COMMAND_ERROR_IS_FATAL ANY)" COMPONENT program)
  install(FILES "${printed}/${file}" DESTINATION "${directory}" COMPONENT program)
endfunction()

install(TARGETS troupe RUNTIME COMPONENT program)
troupe_install_printed(troupe.1 "${CMAKE_INSTALL_MANDIR}/man1" man)
troupe_install_printed(troupe "${CMAKE_INSTALL_DATADIR}/bash-completion/completions" completion bash)
troupe_install_printed(_troupe "${CMAKE_INSTALL_DATADIR}/zsh/site-functions" completion zsh)
troupe_install_printed(troupe.fish "${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d" completion fish)
install(DIRECTORY configs clients DESTINATION "${CMAKE_INSTALL_DATADIR}/troupe" COMPONENT program
  PATTERN "*test*" EXCLUDE PATTERN "__pycache__" EXCLUDE)
install(FILES README.md DESTINATION "${CMAKE_INSTALL_DOCDIR}" COMPONENT program)
install(DIRECTORY docs DESTINATION "${CMAKE_INSTALL_DOCDIR}" COMPONENT program)

# -- development --------------------------------------------------------------------------------------
# The headers that a program includes, and those that they include. None is of another library.
set(headers launcher/engine.hpp launcher/blocking_session.hpp launcher/log.hpp messages/version.hpp)
set(next 0)
list(LENGTH headers count)
while(next LESS count)
  list(GET headers ${next} header)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/${header}")
  file(STRINGS "${header}" included REGEX "^#include \"")
  list(TRANSFORM included REPLACE "^#include \"([^\"]*)\".*" "\\1")
  list(APPEND headers ${included})
  list(REMOVE_DUPLICATES headers)
  list(LENGTH headers count)
  math(EXPR next "${next} + 1")
endwhile()
foreach(header IN LISTS headers)
  get_filename_component(room "${header}" DIRECTORY)
  install(FILES "${header}" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/troupe/${room}" COMPONENT development)
endforeach()

set_target_properties(troupe_launcher PROPERTIES EXPORT_NAME engine)
install(TARGETS troupe_launcher troupe_launcher_base troupe_http troupe_handlers troupe_actors troupe_db
                troupe_messages
  EXPORT troupe
  ARCHIVE COMPONENT development
  INCLUDES DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/troupe")
set(package "${CMAKE_INSTALL_LIBDIR}/cmake/troupe")
install(EXPORT troupe NAMESPACE troupe:: FILE troupeTargets.cmake DESTINATION "${package}" COMPONENT development)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/generated/troupeConfigVersion.cmake"
  COMPATIBILITY SameMinorVersion)
install(FILES cmake/troupeConfig.cmake cmake/FindCAF017.cmake
              "${PROJECT_BINARY_DIR}/generated/troupeConfigVersion.cmake"
  DESTINATION "${package}" COMPONENT development)
