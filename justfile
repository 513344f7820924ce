# `just check` is what has to pass before a commit; .ci/run does the same and proves the wheel too.

# Formatting, lint, types, generated docs, tests.
check: && test
    uv run bash .ci/check

test *ARGS:
    uv run pytest {{ ARGS }}

# One room, or all of them: just bench discover
bench *ROOMS:
    for room in {{ if ROOMS == "" { "benchmarks/bench_*.py" } else { "" } }} {{ ROOMS }}; do \
        case "$room" in *.py) file="$room" ;; *) file="benchmarks/bench_$room.py" ;; esac; \
        uv run python "$file" || exit; \
    done

# Write docs/cli.md again from the real help.
docs:
    uv run python docs/make_cli.py
