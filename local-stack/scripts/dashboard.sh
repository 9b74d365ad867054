#!/usr/bin/env bash
# Builds the web page, where it is not built yet or its sources are newer.
set -euo pipefail
cd "$(dirname "$0")/../../dashboard"

stamp=node_modules/.package-lock.json
if [[ ! -e $stamp || package-lock.json -nt $stamp ]]; then
    echo "== installing the dashboard's packages"
    if ! npm ci --no-audit --no-fund --loglevel=error; then
        echo "The dashboard's npm packages could not be fetched: check the network, then try again." >&2
        exit 1
    fi
    touch "$stamp"
fi

built=dist/index.html
if [[ ! -e $built ]] || [[ -n $(find src public scripts index.html package.json vite.config.ts -newer "$built" -print -quit) ]]; then
    echo "== building the dashboard"
    npm run --silent build
fi
