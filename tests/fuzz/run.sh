#!/bin/sh
# Fuzz the C kernel under the address and undefined-behaviour sanitizers: tests/fuzz/run.sh [SECONDS]
# Needs clang with libFuzzer. Work stays in a temporary folder, KEEP=FOLDER names one to keep the corpus in.
set -eu
cd "$(dirname "$0")/../.."
folder=${KEEP:-$(mktemp -d)}
[ -n "${KEEP:-}" ] || trap 'rm -rf "$folder"' EXIT
mkdir -p "$folder/corpus"
kernel=$(ls nlpkit/ngram/*.c | grep -v _kernel_py.c)
# shellcheck disable=SC2086
clang -std=gnu11 -O2 -g -fno-omit-frame-pointer -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
    tests/fuzz/fuzz_kernel.c $kernel -lm -o "$folder/fuzz_kernel"
"$folder/fuzz_kernel" -max_total_time="${1:-60}" -max_len=208 -len_control=0 -dict=tests/fuzz/utf8.dict -print_final_stats=1 \
    -artifact_prefix="$folder/" "$folder/corpus" || { echo "the input that failed: see above, in $folder" >&2; trap - EXIT; exit 1; }
