# The C library, what installs it for other builds, and its examples and tests.
include(CheckLanguage)
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
file(STRINGS src/openwork/_version.py version_line REGEX "__version__")
string(REGEX MATCH "[0-9]+\\.[0-9]+\\.[0-9]+" openwork_version "${version_line}")

add_library(openwork SHARED csrc/capi/openwork.cpp ${openwork_objects})
target_link_libraries(openwork PRIVATE $<BUILD_INTERFACE:openwork_options> -fopenmp)
target_include_directories(openwork PUBLIC $<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/csrc/capi>
                           $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
set_target_properties(openwork PROPERTIES VERSION ${openwork_version} SOVERSION 1
                      PUBLIC_HEADER csrc/capi/openwork.h)

if(OPENWORK_PYTHON)
  set_target_properties(openwork PROPERTIES EXCLUDE_FROM_ALL ON
                        LIBRARY_OUTPUT_DIRECTORY ${CMAKE_SOURCE_DIR}/build/c)
endif()
# OPTIONAL, because the library is not built with the module, whose installation leaves it out.
install(TARGETS openwork EXPORT openwork-targets
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT c OPTIONAL
        PUBLIC_HEADER DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT c)
set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/openwork)
install(EXPORT openwork-targets FILE openwork-config.cmake NAMESPACE openwork::
        DESTINATION ${package_folder} COMPONENT c)
write_basic_package_version_file(openwork-config-version.cmake VERSION ${openwork_version}
                                 COMPATIBILITY SameMajorVersion)
# From its own place, so that an installed tree may be moved.
file(RELATIVE_PATH prefix_from_pkgconfig ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig
     ${CMAKE_INSTALL_PREFIX})
configure_file(csrc/capi/openwork.pc.in openwork.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/openwork-config-version.cmake
        DESTINATION ${package_folder} COMPONENT c)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/openwork.pc
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT c)

check_language(C)
if(NOT CMAKE_C_COMPILER)
  return()
endif()
enable_language(C)
add_executable(openwork_classify examples/c/classify.c)
target_link_libraries(openwork_classify PRIVATE openwork)
target_compile_options(openwork_classify PRIVATE -std=c99 -pedantic -Wall -Wextra)
add_executable(openwork_run examples/c/run.cpp)
target_link_libraries(openwork_run PRIVATE openwork)
target_compile_options(openwork_run PRIVATE -Wall -Wextra)
target_compile_features(openwork_run PRIVATE cxx_std_17)

if(OPENWORK_PYTHON)
  set_target_properties(openwork_classify openwork_run PROPERTIES EXCLUDE_FROM_ALL ON
                        RUNTIME_OUTPUT_DIRECTORY ${CMAKE_SOURCE_DIR}/build/c)
endif()

if(OPENWORK_FUZZ)
  add_executable(openwork_fuzz csrc/capi/fuzz.cpp csrc/packed/checksum.cpp)
  target_link_libraries(openwork_fuzz PRIVATE openwork openwork_options)
  target_link_options(openwork_fuzz PRIVATE -fsanitize=fuzzer)
endif()
