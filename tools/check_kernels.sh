#!/bin/sh
# Looks for variables that all threads share in what pocl has compiled: local memory that it did not give to each of them.
#     tools/check_kernels.sh build/pocl-cache
# A kernel with such a variable is right until two of its groups run at once.
set -eu
folder=${1:?usage: tools/check_kernels.sh FOLDER}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

find "$folder" -name '*.so' >"$work/kernels"
[ -s "$work/kernels" ] || { echo "$folder has no compiled kernel; want the folder of POCL_CACHE_DIR after a run" >&2; exit 1; }

# Sections that are written, less what every library has: "file: symbol".
while read -r kernel; do
    nm "$kernel" | awk '$2 ~ /^[bBcCdDgGsS]$/ && $3 != "_DYNAMIC" && $3 != "_GLOBAL_OFFSET_TABLE_" { print $3 }' |
        sed "s|^|$(basename "$kernel"): |"
done <"$work/kernels" | LC_ALL=C sort -u >"$work/found"

sed 's/$/: one for all threads; take local memory by CLF_INLINE functions alone/' "$work/found" >&2
echo "$(wc -l <"$work/kernels") compiled kernels, $(wc -l <"$work/found") variables that threads share"
[ ! -s "$work/found" ]
