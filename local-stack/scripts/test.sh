#!/usr/bin/env bash
# Every test there is, step by step; stops after the first step that failed, and says which it was.
set -euo pipefail
cd "$(dirname "$0")/../.."

# Tests say what they mean: nothing of a developer's own settings may leak in.
unset KAFKA_BOOTSTRAP_SERVERS REDIS_HOST REDIS_PORT REDIS_PASSWORD
unset POSTGRES_HOST POSTGRES_PORT POSTGRES_DB POSTGRES_USER POSTGRES_PASSWORD

summary=()

# step "what it checks" COMMAND ARGUMENTS…
step() {
    local name=$1 begin=$SECONDS
    shift
    printf '\n== %s\n' "$name"
    if ! "$@"; then
        printf '\n== FAILED: %s (after %d s)\n' "$name" $((SECONDS - begin)) >&2
        exit 1
    fi
    summary+=("$(printf '%5d s  %s' $((SECONDS - begin)) "$name")")
}

docs() { RUSTDOCFLAGS='-D warnings' cargo doc --quiet --workspace --no-deps; }

npm_packages() { npm --prefix dashboard ci --no-audit --no-fund --loglevel=error; }

stack=target/debug/local-stack

step 'packages of the system' local-stack/scripts/deps.sh --test
CHROMIUM=$(local-stack/scripts/chromium.sh)
export CHROMIUM
step 'formatting' cargo fmt --all --check
step 'lints' cargo clippy --workspace --all-targets -- -D warnings
step 'documentation' docs
step 'dashboard: packages' npm_packages
step 'dashboard: types' npm --prefix dashboard run --silent check
step 'dashboard: unit tests' npm --prefix dashboard test --silent
step 'dashboard: build' npm --prefix dashboard run --silent build
step 'dashboard: components in Chromium' npm --prefix dashboard run --silent test:component
step 'build' cargo build --workspace --all-targets
step 'unit and service tests, on real Kafka, Redis and PostgreSQL' "$stack" run -- cargo test --workspace --no-fail-fast
step 'the page in Chromium, on the whole pipeline' "$stack" demo --fresh -- npm --prefix dashboard run --silent test:page

printf '\n== everything passed in %d min %d s\n' $((SECONDS / 60)) $((SECONDS % 60))
printf '%s\n' "${summary[@]}"
