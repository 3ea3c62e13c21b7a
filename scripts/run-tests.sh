#!/usr/bin/env bash
# Run the tests: most of them as many at once as there are cores, then those of the whole system one by one. These run
# servers and workers of their own, whose times are meant for a machine that is not busy with other tests.
#
# Usage: scripts/run-tests.sh JOBS [pytest arguments...]
set -uo pipefail
readonly none=5 # pytest found no test that it was to run
python=${PYTHON:-python3}
jobs=$1
shift

"$python" -m pytest -n "$jobs" -m "not e2e" "$@"
first=$?
((first == 0 || first == none)) || exit "$first"
"$python" -m pytest -m e2e "$@"
second=$?
if ((second == none)); then exit "$first"; else exit "$second"; fi
