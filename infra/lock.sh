#!/usr/bin/env bash
# Resolves pyproject.toml into requirements.lock: flat, and without the build of torch that happened to be at hand.
set -euo pipefail
cd "$(dirname "$0")/.."

resolved=$(mktemp)
trap 'rm -f "$resolved"' EXIT
UV_FIND_LINKS=${UV_FIND_LINKS:-${PIP_FIND_LINKS:-}} .venv/bin/python -m uv pip compile pyproject.toml --extra dev \
    --python-version 3.11 --no-header --no-annotate --quiet "$@" --output-file "$resolved"
{
    echo "# Every package that is installed, resolved from pyproject.toml. Regenerate with: make lock"
    echo "# torch stands here without its build (+cpu, +cu…): the set-up chooses it for the machine."
    # The packages of CUDA come with torch's build where there is a GPU, and are no business of a machine without.
    sed -E 's/^(torch==[^+ ]+)\+[^ ]+/\1/' "$resolved" | grep -vE '^(nvidia-|triton|cuda-)'
} >requirements.lock
echo "requirements.lock: $(grep -c == requirements.lock) packages"
