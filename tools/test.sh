#!/bin/sh
# Builds everything and runs every test, on pocl unless OCL_ICD_VENDORS or CLFUSION_DEVICE say otherwise:
#     tools/test.sh [CMAKE-OPTION...]          e.g. tools/test.sh -DCLFUSION_SANITIZE=address,undefined
# On Debian and Ubuntu it first installs what is missing.  CLF_BUILD names the build folder (build/test), CLF_TEST_EXCLUDE
# labels of ctest to leave out.  The last line is "N passed, M failed, K skipped" over the cases of all programs; the exit status is 0 when none failed.
set -eu
cd "$(dirname "$0")/.."
. tools/setup.sh

clf_setup libcmocka-dev
clf_only_pocl
build=${CLF_BUILD:-build/test}
clf_build "$build" -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCLFUSION_TESTS=ON "$@"

# Compiled kernels of the tests stay apart from the user's.
POCL_CACHE_DIR=${POCL_CACHE_DIR:-$(pwd)/build/pocl-cache}
export POCL_CACHE_DIR
mkdir -p "$POCL_CACHE_DIR"

log=$build/test.log
(cd "$build" && ctest --verbose --timeout "${CLF_TEST_TIMEOUT:-900}" \
    ${CLF_TEST_EXCLUDE:+-LE "$CLF_TEST_EXCLUDE"} --parallel "$(getconf _NPROCESSORS_ONLN)" \
    2>&1 || :) | tee "$log" | grep -E '^ *[0-9]+/[0-9]+ Test +#' || :

awk -f tools/count_tests.awk "$log"
