#!/usr/bin/env bash
# Creates .venv and installs requirements.lock and the project into it; at once when both are unchanged since.
# `infra/setup.sh bench` also installs the benchmarks' peers, of requirements-bench.lock.
set -euo pipefail
cd "$(dirname "$0")/.."

locks=(requirements.lock)
[ "${1:-}" = bench ] && locks+=(requirements-bench.lock)
installed() { # of which lock files
    echo ".venv/.installed-$(cat "$@" pyproject.toml infra/setup.sh | sha256sum | cut -c1-16)"
}
stamp=$(installed "${locks[@]}")
[ -e "$stamp" ] && exit 0

python=${PYTHON:-}
if [ -z "$python" ]; then
    for candidate in python3.11 python3.12 python3.13 python3; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            python=$candidate
            break
        fi
    done
fi
if [ -z "$python" ]; then
    echo "set-up: Python 3.11 or newer is needed and was not found. Install it, or name it: make setup PYTHON=/path/to/python" >&2
    exit 1
fi

# Two makes at once would write into one .venv: the second waits here and then finds the stamp.
if command -v flock >/dev/null; then
    mkdir -p .equipoise
    exec 9>.equipoise/setup.lock
    flock 9
    [ -e "$stamp" ] && exit 0
fi

# A .venv that was left half made has a python, but nothing that installs.
has() { .venv/bin/python -m "$1" --version >/dev/null 2>&1; }
if ! has uv && ! has pip; then
    echo "set-up: creating .venv with $($python --version)"
    rm -rf .venv
    "$python" -m venv .venv || {
        rm -rf .venv
        echo "set-up: $python makes no virtual environments. On Debian and Ubuntu: apt-get install python3-venv" >&2
        exit 1
    }
fi
has uv || .venv/bin/python -m pip install --quiet 'uv>=0.9'

# uv reads its own variables where pip reads others.
[ -n "${PIP_INDEX_URL:-}" ] && export UV_DEFAULT_INDEX=${UV_DEFAULT_INDEX:-$PIP_INDEX_URL}
[ -n "${PIP_CERT:-}" ] && export SSL_CERT_FILE=${SSL_CERT_FILE:-$PIP_CERT}
export UV_HTTP_TIMEOUT=${UV_HTTP_TIMEOUT:-180} UV_LINK_MODE=${UV_LINK_MODE:-copy}

install() { # options of uv that choose torch's build
    .venv/bin/python -m uv pip install --python .venv/bin/python --compile-bytecode "$@" "${locks[@]/#/--requirements=}"
}

wheels=""
for place in ${UV_FIND_LINKS:-} ${PIP_FIND_LINKS:-}; do
    if compgen -G "$place/torch-*.whl" >/dev/null; then
        wheels=$place
        break
    fi
done

if [ -n "$wheels" ]; then
    echo "set-up: installing ${locks[*]} (torch from $wheels)"
    UV_FIND_LINKS=$wheels install
elif command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep -q GPU; then
    echo "set-up: installing ${locks[*]} (torch for the NVIDIA GPU)"
    install --torch-backend auto || {
        echo "set-up: torch's own index could not be used; taking the build of the plain index"
        install
    }
else
    echo "set-up: installing ${locks[*]} (torch for the CPU)"
    install --torch-backend cpu || {
        echo "set-up: torch's CPU index could not be used; taking the build of the plain index: it runs on the CPU too, but is larger"
        install
    }
fi
.venv/bin/python -m uv pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --editable .

rm -f .venv/.installed-*
touch "$stamp" "$(installed requirements.lock)"
echo "set-up: done"
