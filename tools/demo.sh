#!/bin/sh
# Builds the command and shows it three times, on pocl unless OCL_ICD_VENDORS or CLFUSION_DEVICE say otherwise:
#   1. the picture examples/scene.ppm, cut into 30x30 patches, through an embedding of Fuyu-8B's shape
#   2. 576 tokens through a projector of LLaVA-1.5-7B's shape
#   3. a drawing that a small trained model (examples/drawings) finds the caption for, and where each word looks
# The weights of 1 and 2 are made on the spot from a seed; everything else is what a real checkpoint meets.  On Debian and
# Ubuntu it first installs what is missing.  Results: build/demo.
set -eu
cd "$(dirname "$0")/.."
. tools/setup.sh

clf_setup
clf_only_pocl
build=build/release
out=build/demo
clf_say "building (about 20 seconds) ..."
clf_build "$build" -DCMAKE_BUILD_TYPE=Release -DCLFUSION_TESTS=OFF -DCLFUSION_TOOLS=ON
mkdir -p "$out"
export POCL_AFFINITY="${POCL_AFFINITY-1}" # each worker thread on a core of its own

# A number of a flat JSON object: json_number FILE KEY.
json_number()
{
    sed -n 's/.*"'"$2"'": *\([-+.0-9eE]*\).*/\1/p' "$1" | head -n 1
}

# share A B: A as a percentage of B.
share()
{
    awk -v a="$1" -v b="$2" 'BEGIN { printf "%.0f %%", 100 * a / b }'
}

# run_model NAME CHECKPOINT VISION: runs, times, checks some rows against the host's own arithmetic.
run_model()
{
    "$build/clfusion" run "$2" --input vision="$3" --output tokens="$out/$1_tokens.npy" --repeat 20 --json \
        >"$out/$1.json"
    gflops=$(awk -v flop="$(json_number "$out/$1.json" flop)" -v ms="$(json_number "$out/$1.json" minimum_ms)" \
        'BEGIN { printf "%.0f", flop / ms * 1e-6 }')
    printf '   median %s ms; best %s ms, %s GFLOP/s, %s of the measured peak (other load lowers this)\n' \
        "$(json_number "$out/$1.json" median_ms)" "$(json_number "$out/$1.json" minimum_ms)" "$gflops" \
        "$(share "$gflops" "$peak")"
    printf '   correct: '
    "$build/tools/check_tokens" "$2" "$3" "$out/$1_tokens.npy"
    printf '   written: %s\n\n' "$out/$1_tokens.npy"
}

printf '\nDevice'
case ${OCL_ICD_VENDORS-} in
    *build/icd/pocl) printf ' (the demo shows itself pocl alone; CLFUSION_DEVICE=auto opens every driver)' ;;
esac
printf '\n'
"$build/clfusion" devices | awk 'BEGIN { RS = "" } /choice +picked/' | grep -E '^(name|platform|type|reason) ' | sed 's/^/   /'
"$build/clfusion" bench linear.qformer --json >"$out/peak.json" # any short case: the peak is measured beside it
peak=$(json_number "$out/peak.json" peak_fma_gflops)
printf '   measured peak of fused multiply-adds: %s GFLOP/s\n\n' "$peak"

printf 'Weights are random, made here from a seed; shapes, files and code path are those of the real models.\n\n'
"$build/tools/make_checkpoint" fuyu "$out/fuyu"
"$build/tools/make_checkpoint" llava "$out/llava"

printf '1. A picture through an embedding of Fuyu-8B'\''s shape: [1, N, 2700] -> [1, N, 4096]\n   examples/scene.ppm: '
"$build/tools/make_patches" examples/scene.ppm "$out/patches.npy"
run_model fuyu "$out/fuyu" "$out/patches.npy"

printf '2. Random features through a projector of LLaVA-1.5-7B'\''s shape: [1, 576, 1024] -> 4096 -> GELU -> [1, 576, 4096]\n'
run_model llava "$out/llava" "$out/llava/vision.npy"

# ids_file FILE ID...: an npy file with the ids as i64 [1, count].
ids_file()
{
    file=$1
    shift
    printf '\223NUMPY\001\000v\000%-117s\n' "{'descr': '<i8', 'fortran_order': False, 'shape': (1, $#), }" >"$file"
    for id; do
        # shellcheck disable=SC2059 # the byte is the format
        printf "\\$(printf '%03o' "$id")\\000\\000\\000\\000\\000\\000\\000" >>"$file"
    done
}

printf '3. examples/drawings/scene.png among 264 captions, by a trained model of %s bytes:\n' \
    "$(cat examples/drawings/*.safetensors | wc -c)"
"${CC:-cc}" -std=c11 -O2 -Iinclude examples/drawings.c -o "$out/drawings" "$build/libclfusion.so" -Wl,-rpath,"$PWD/$build" -lm
"$out/drawings" examples/drawings examples/drawings/scene.png >"$out/drawings.txt"
sed -n 's/^\(.*%.*\)/   \1/p' "$out/drawings.txt"
sed -n '1s/.*%  //p' "$out/drawings.txt" | cmp - examples/drawings/scene.txt
printf '   correct: that is what was drawn\n'
# shellcheck disable=SC2046 # five words
ids_file "$out/words_ids.npy" $(sed -n 's/^ids //p' "$out/drawings.txt")
"$build/clfusion" run examples/drawings/early.safetensors --image examples/drawings/scene.png \
    --input text_ids="$out/words_ids.npy" --output tokens="$out/drawing.npy" --output hidden="$out/words.npy" >/dev/null
for word in 0 1 2 3 4; do
    "$build/clfusion" run examples/drawings/gated.safetensors --input text="$out/words.npy" --input vision="$out/drawing.npy" \
        --output hidden="$out/seen.npy" --heatmap examples/drawings/scene.png="$out/word_$word.png" --position $word >/dev/null
done
printf '   where each word of the first caption looks: %s/word_{0,1,2,3,4}.png\n\n' "$out"

printf 'Done; all results are right.  Next: %s/clfusion inspect %s/llava\n' "$build" "$out"
