# clf_room(core): the object library clf_core of src/core/*.c.  Headers are spelled "core/error.h"; each room has an
# include folder that holds only itself, so a room that is not named as lower cannot be included.

function(clf_room room)
  set(folder ${CMAKE_CURRENT_BINARY_DIR}/rooms/${room})
  file(MAKE_DIRECTORY ${folder})
  file(CREATE_LINK ${CMAKE_CURRENT_SOURCE_DIR}/src/${room} ${folder}/${room} SYMBOLIC)

  file(GLOB sources CONFIGURE_DEPENDS src/${room}/*.c)
  add_library(clf_${room} OBJECT ${sources})
  clf_compile(clf_${room})
  target_include_directories(clf_${room} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/include ${CMAKE_CURRENT_SOURCE_DIR}/cl)
  # dlopen, mmap, openat, ... : POSIX and its common extensions
  target_compile_definitions(clf_${room} PRIVATE _GNU_SOURCE CLF_BUILD_SHARED)
  foreach(lower ${room} ${ARGN})
    target_include_directories(clf_${room} PRIVATE ${CMAKE_CURRENT_BINARY_DIR}/rooms/${lower})
  endforeach()
  if("runtime" IN_LIST ARGN)
    target_include_directories(clf_${room} SYSTEM PRIVATE ${OPENCL_HEADERS})
  endif()
endfunction()

# Leaves one file out of a room.
function(clf_room_without target file)
  get_target_property(sources ${target} SOURCES)
  list(FILTER sources EXCLUDE REGEX "/${file}$")
  set_target_properties(${target} PROPERTIES SOURCES "${sources}")
endfunction()
