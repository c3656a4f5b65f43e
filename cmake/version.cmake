# Reads the version where it stands: clf_read_version(HEADER) sets CLF_VERSION, before project().
function(clf_read_version header)
  file(STRINGS "${header}" lines REGEX "#define CLF_VERSION_(MAJOR|MINOR|PATCH) ")
  if(NOT "${lines}" MATCHES "MAJOR ([0-9]+).*MINOR ([0-9]+).*PATCH ([0-9]+)")
    message(FATAL_ERROR "${header}: no CLF_VERSION_MAJOR, _MINOR and _PATCH in this order")
  endif()
  set(CLF_VERSION "${CMAKE_MATCH_1}.${CMAKE_MATCH_2}.${CMAKE_MATCH_3}" PARENT_SCOPE)
endfunction()
