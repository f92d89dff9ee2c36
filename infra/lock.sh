#!/usr/bin/env bash
# Resolves pyproject.toml into requirements.lock: flat, and without the build of torch that happened to be at hand.
# What the extra `bench` adds to that goes into requirements-bench.lock.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

resolve() { # options
    UV_FIND_LINKS=${UV_FIND_LINKS:-${PIP_FIND_LINKS:-}} .venv/bin/python -m uv pip compile pyproject.toml --extra dev \
        --python-version 3.11 --no-header --no-annotate --quiet "$@" --output-file "$folder/resolved"
    # The packages of CUDA come with torch's build where there is a GPU, and are no business of a machine without.
    sed -E 's/^(torch==[^+ ]+)\+[^ ]+/\1/' "$folder/resolved" | grep -vE '^(nvidia-|triton|cuda-)'
    rm "$folder/resolved"
}

resolve "$@" >"$folder/all"
resolve --extra bench --constraint "$folder/all" >"$folder/bench"
{
    echo "# Every package that is installed, resolved from pyproject.toml. Regenerate with: make lock"
    echo "# torch stands here without its build (+cpu, +cu…): the set-up chooses it for the machine."
    cat "$folder/all"
} >requirements.lock
{
    echo "# What \`make bench\` installs besides requirements.lock: the benchmarks' peers. Regenerate with: make lock"
    grep -vxFf "$folder/all" "$folder/bench"
} >requirements-bench.lock
echo "requirements.lock: $(grep -c == requirements.lock) packages; requirements-bench.lock: $(grep -c == requirements-bench.lock) more"
