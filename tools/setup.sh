# shellcheck shell=sh
# Sourced by demo.sh, test.sh and .ci/run from the top folder: packages, the private OpenCL folder, the build.
# On Debian and Ubuntu missing packages are installed; elsewhere what to install is said, and the script stops.

# What building and running on the CPU takes; the tests name cmocka.  CLBlast and the OpenCL loader are opened at run time.
CLF_PACKAGES="gcc libc6-dev cmake ninja-build pkg-config opencl-c-headers ocl-icd-libopencl1 pocl-opencl-icd
libclblast1 libjsmn-dev libmd-dev libpng-dev libjpeg62-turbo-dev"

clf_say() { printf '%s\n' "$*" >&2; }

clf_stop()
{
    clf_say "$@"
    exit 1
}

# The packages of its arguments that are not installed.
clf_missing_packages()
{
    for package in "$@"; do
        dpkg-query -W -f='${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || printf '%s ' "$package"
    done
}

clf_as_root()
{
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

# Debian's and Ubuntu's way.
clf_install_packages()
{
    missing=$(clf_missing_packages "$@")
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
        clf_stop "packages are missing and neither root nor sudo is at hand; run as root: apt-get install $missing"
    fi
    clf_say "installing: $missing"
    export DEBIAN_FRONTEND=noninteractive
    clf_as_root apt-get update -qq >&2
    # shellcheck disable=SC2086 # a list of words
    clf_as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >&2 ||
        clf_stop "apt-get could not install: $missing"
}

clf_explain_packages()
{
    clf_say "this system has no apt-get; install these, then run again with CLFUSION_SETUP=skip:
  a C11 compiler, CMake 3.18 or later, ninja, pkg-config
  OpenCL headers (CL/cl.h), the OpenCL ICD loader (libOpenCL.so.1) and a driver, for a CPU pocl
  jsmn (jsmn.h), libmd (sha2.h), libpng, libjpeg-turbo, cmocka 1.1.5 or later; CLBlast (libclblast.so.1) where there is a GPU
  Fedora: gcc cmake ninja-build pkgconf-pkg-config opencl-headers ocl-icd pocl jsmn-devel libmd-devel libpng-devel libjpeg-turbo-devel libcmocka-devel
  Arch:   gcc cmake ninja pkgconf opencl-headers ocl-icd pocl libmd libpng libjpeg-turbo cmocka clblast; jsmn from its own repository"
    exit 1
}

# Packages of this project and those named.  CLFUSION_SETUP=skip trusts the machine as it is.
# shellcheck disable=SC2120 # demo.sh names none
clf_setup()
{
    [ "${CLFUSION_SETUP:-}" != skip ] || return 0
    if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
        clf_explain_packages
    fi
    # shellcheck disable=SC2086 # a list of words
    clf_install_packages $CLF_PACKAGES "$@"
}

# An OpenCL vendor folder of one library: clf_vendor_folder FOLDER LIBRARY.  Prints its absolute path.  The file appears
# whole or not at all: another script's programs may be looking for their driver in the same folder.
clf_vendor_folder()
{
    mkdir -p "$1"
    whole=$(mktemp "$1/new.XXXXXX")
    printf '%s\n' "$2" >"$whole"
    chmod a+r "$whole"
    mv -f "$whole" "$1/only.icd"
    (cd "$1" && pwd)
}

# Other drivers must not disturb: the loader opens all of them, and some end the process.  A choice of the user stays.
clf_only_pocl()
{
    [ -z "${OCL_ICD_VENDORS:-}${CLFUSION_DEVICE:-}" ] || return 0
    for icd in /etc/OpenCL/vendors/pocl*.icd /usr/share/OpenCL/vendors/pocl*.icd; do
        if [ -r "$icd" ]; then
            OCL_ICD_VENDORS=$(clf_vendor_folder build/icd/pocl "$(head -n 1 "$icd")")
            export OCL_ICD_VENDORS
            return 0
        fi
    done
    clf_say "pocl is not registered; using the OpenCL drivers of this system as they are"
}

# Says $CLF_BUILD_NOTE once its input, what a build prints, tells that something is compiled.
clf_note_build()
{
    note=${CLF_BUILD_NOTE-}
    while read -r line; do
        case $line in
            *Building* | *Linking*)
                [ -z "$note" ] || clf_say "$note"
                note=""
                ;;
        esac
    done
}

# clf_build FOLDER OPTION...: configures when needed and builds.
clf_build()
{
    folder=$1
    shift
    mkdir -p "$folder"
    generator="-G Ninja"
    [ ! -e "$folder/CMakeCache.txt" ] || generator="" # as it was made
    # shellcheck disable=SC2086 # two words or none
    cmake -S . -B "$folder" $generator "$@" >"$folder/configure.log" 2>&1 || {
        cat "$folder/configure.log" >&2
        clf_stop "cmake could not configure $folder"
    }
    rm -f "$folder/build.failed"
    { cmake --build "$folder" 2>&1 || : >"$folder/build.failed"; } | tee "$folder/build.log" | clf_note_build
    [ ! -e "$folder/build.failed" ] || {
        cat "$folder/build.log" >&2
        clf_stop "the build in $folder failed"
    }
    ! grep -i 'warning:' "$folder/build.log" >&2 || clf_say "(warnings of the build in $folder)"
}
