#!/bin/sh
# Waits until Temporal serves, then sees to the namespace. The workers add the search attributes themselves.
set -eu
tries=60
until temporal operator cluster health --address "$TEMPORAL_ADDRESS" >/dev/null 2>&1; do
    tries=$((tries - 1))
    if [ "$tries" -le 0 ]; then
        echo "Temporal at $TEMPORAL_ADDRESS does not serve; look at its log" >&2
        exit 1
    fi
    sleep 2
done
temporal operator namespace describe --address "$TEMPORAL_ADDRESS" -n "$SOAR_TEMPORAL_NAMESPACE" >/dev/null 2>&1 ||
    temporal operator namespace create --address "$TEMPORAL_ADDRESS" -n "$SOAR_TEMPORAL_NAMESPACE" \
        --retention "$TEMPORAL_RETENTION"
