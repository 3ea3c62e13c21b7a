#!/bin/sh
# Makes the virtual environment: pinned dependencies with their hashes, then this project itself.
# Usage: scripts/setup.sh VENV [PYTHON]
set -eu

venv=$1
wanted=${2:-}

say() { printf '%s\n' "$*" >&2; }
is_debian_root() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; }
install_packages() {
    say "installing $* with apt-get"
    apt-get update -qq >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >&2
}
new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

find_python() {
    for candidate in $wanted python3 python3.14 python3.13 python3.12 python3.11; do
        if command -v "$candidate" >/dev/null 2>&1 && new_enough "$candidate"; then
            command -v "$candidate"
            return
        fi
        [ "$candidate" = "$wanted" ] && say "PYTHON=$wanted is not a Python 3.11 or newer" && return 1
    done
    return 1
}

python=$(find_python) || {
    [ -z "$wanted" ] || exit 1
    if is_debian_root; then install_packages python3 python3-venv; fi
    python=$(find_python) || {
        say "Python 3.11 or newer is needed: install it (Debian, Ubuntu: apt-get install python3 python3-venv;"
        say "macOS: brew install python@3.11), or name one: make setup PYTHON=/path/to/python3.11"
        exit 1
    }
}

if ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
    package="python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"
    if is_debian_root; then
        install_packages "$package"
    else
        say "$python cannot make virtual environments: install $package (as root: apt-get install $package)"
        exit 1
    fi
fi

# An environment of another Python, or one that was moved here, does not work: make it anew.
if [ -d "$venv" ] && ! { "$venv/bin/python" -m pip --version >/dev/null 2>&1 && new_enough "$venv/bin/python" &&
    [ "$("$venv/bin/python" -c 'import sys; print(sys.prefix)')" = "$(cd "$venv" && pwd -P)" ]; }; then
    say "the virtual environment $venv does not work here: making it anew"
    rm -rf "$venv"
fi
[ -d "$venv" ] || { say "making $venv with $python"; "$python" -m venv "$venv"; }

pip() { "$venv/bin/python" -m pip --disable-pip-version-check --quiet "$@"; }
say "installing the pinned dependencies (the first time takes some minutes)"
pip install --require-hashes --no-deps -r requirements.lock
# The build backend is one of the pinned dependencies, so nothing is fetched for this.
pip install --no-index --no-deps --no-build-isolation --editable .
"$venv/bin/python" -c 'import soar' && [ -x "$venv/bin/soar" ] || { say "the soar command was not installed"; exit 1; }
say "ready: $venv/bin/soar"
