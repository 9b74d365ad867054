#!/usr/bin/env bash
# Forgets the demo's data; the list of Kafka's jars stays.
set -euo pipefail
cd "$(dirname "$0")/../.."

data=.local-stack
[[ -d $data ]] || exit 0
# The demo holds this lock as long as it runs.
exec 9>>"$data/lock"
if ! flock --nonblock 9; then
    echo "The demo is running: stop it first." >&2
    exit 1
fi
rm -rf "$data"/{kafka,postgres,spool,logs} "$data"/*.log "$data"/*.log.old
echo "The demo will start empty."
