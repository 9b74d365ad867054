#!/usr/bin/env bash
# Writes random passwords for docker compose to .env; what is set there stays.
set -euo pipefail
cd "$(dirname "$0")/../.."

umask 077
touch .env
# A last line without an end would swallow the next one.
[[ -z $(tail -c 1 .env) ]] || echo >>.env
for name in POSTGRES_PASSWORD POSTGRES_READER_PASSWORD REDIS_PASSWORD; do
    if grep -q "^$name=." .env; then continue; fi
    # An empty line of the example is replaced, because a variable may occur only once.
    sed -i "/^$name=\$/d" .env
    printf '%s=%s\n' "$name" "$(head -c 24 /dev/urandom | od -An -v -tx1 | tr -d ' \n')" >>.env
    echo "$name: set in .env"
done
