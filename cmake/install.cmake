# Included after all targets: installs libraries, headers, the command, the CMake package and the pkg-config file.
# Programs then use find_package(clfusion) with clfusion::clfusion, or pkg-config clfusion.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/clfusion)
set(installed "")
if(CLFUSION_SHARED)
  list(APPEND installed clfusion)
endif()
if(CLFUSION_STATIC)
  list(APPEND installed clfusion_static)
endif()
if(installed)
  install(TARGETS ${installed} EXPORT clfusion
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
    RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  install(EXPORT clfusion NAMESPACE clfusion:: FILE clfusionTargets.cmake DESTINATION ${package_folder})
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/clfusion DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
    FILES_MATCHING PATTERN "*.h")
endif()
if(TARGET clfusion_command)
  install(TARGETS clfusion_command RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

# Before 1.0 a minor version may change the interface.
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/clfusionConfig.cmake.in
  ${PROJECT_BINARY_DIR}/clfusionConfig.cmake INSTALL_DESTINATION ${package_folder})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/clfusionConfigVersion.cmake
  VERSION ${CLF_VERSION} COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/clfusionConfig.cmake ${PROJECT_BINARY_DIR}/clfusionConfigVersion.cmake
  DESTINATION ${package_folder})

# The pkg-config file finds its prefix from its own place, so an installation can move.
foreach(kind LIBDIR INCLUDEDIR)
  file(RELATIVE_PATH PC_${kind} ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_FULL_${kind}})
endforeach()
set(needed "-ldl -lm -lpthread")
if(CLFUSION_CACHE)
  string(APPEND needed " -lmd")
endif()
if(CLFUSION_PICTURES)
  string(APPEND needed " -lpng -ljpeg")
endif()
if(CLFUSION_SHARED)
  set(PC_PRIVATE "${needed}")
else() # the only library there is wants them of every program
  set(PC_PUBLIC " ${needed}")
endif()
configure_file(${PROJECT_SOURCE_DIR}/cmake/clfusion.pc.in ${PROJECT_BINARY_DIR}/clfusion.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/clfusion.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
