#!/bin/sh
# Run the tests of counting and discovery on a kernel built with the address and undefined-behaviour sanitizers:
# tests/fuzz/sanitized_tests.sh [ARGUMENTS OF PYTEST]
# Works on a copy in a temporary folder, so that the extension in the source tree stays as it is. Needs gcc.
set -eu
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cp -r nlpkit tests pyproject.toml "$folder"
cd "$folder"
rm -f nlpkit/ngram/_kernel*.so
include=$("$python" -c "import sysconfig; print(sysconfig.get_paths()['include'])")
gcc -O1 -g -std=c11 -fPIC -shared -fno-omit-frame-pointer -fsanitize=address,undefined \
    -fno-sanitize-recover=undefined -I"$include" nlpkit/ngram/*.c -lm -o nlpkit/ngram/_kernel.abi3.so
# Python itself never frees some of its memory, so leaks are not looked for.
LD_PRELOAD=$(gcc -print-file-name=libasan.so) ASAN_OPTIONS=detect_leaks=0 PYTHONMALLOC=malloc PYTHONDONTWRITEBYTECODE=1 \
    "$python" -m pytest -q -p no:cacheprovider --capture=sys tests/ngram tests/discover "$@"
