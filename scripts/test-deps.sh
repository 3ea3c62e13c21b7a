#!/bin/sh
# Sees to what the tests need from the system: a PostgreSQL server to run beside them.
set -eu

has_postgresql() {
    command -v initdb >/dev/null 2>&1 && return 0
    for program in /usr/lib/postgresql/*/bin/initdb /opt/homebrew/opt/postgresql@*/bin/initdb; do
        [ -x "$program" ] && return 0
    done
    return 1
}

has_postgresql && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing postgresql with apt-get" >&2
    apt-get update -qq >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends postgresql >&2
    has_postgresql && exit 0
fi
echo "PostgreSQL is not installed (Debian, Ubuntu: apt-get install postgresql; macOS: brew install postgresql@16)" >&2
if [ "${CI:-}" = true ]; then
    echo "with CI=true no test may be skipped, so this is an error" >&2
    exit 1
fi
echo "the tests that need it are skipped" >&2
