# clf_need_header(VARIABLE HEADER ADVICE): the folder of a header, or an error that says what to install.
function(clf_need_header variable header advice)
  find_path(${variable} ${header})
  if(NOT ${variable})
    message(FATAL_ERROR "${header} was not found; install it (${advice})")
  endif()
endfunction()
