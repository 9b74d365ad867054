#!/usr/bin/env bash
# Installs what the project needs and this machine lacks. Does nothing, and asks for nothing, when all is there.
#
#   deps.sh          what the demo needs
#   deps.sh --bench  that, and Python for a peer that is written in it
#   deps.sh --test   that, a Chromium for the test of the page, an nginx for the test behind a proxy, and a PgBouncer
set -euo pipefail
cd "$(dirname "$0")/../.."

java_min=17
node_min=18

fail() {
    printf '%s\n' "$*" >&2
    exit 1
}

has() { command -v "$1" >/dev/null 2>&1; }

has_postgres() {
    has postgres || compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null
}

# Major version of what stands on PATH; 0 when nothing does.
java_version() {
    local java=java
    if [[ -n ${JAVA_HOME:-} && -x $JAVA_HOME/bin/java ]]; then java=$JAVA_HOME/bin/java; fi
    { "$java" -version 2>&1 || true; } | awk -F '[".+-]' '/version "/ { print $2; found = 1; exit } END { if (!found) print 0 }'
}

node_version() {
    { node --version 2>/dev/null || true; } | awk -F '[v.]' '/^v/ { print $2; found = 1 } END { if (!found) print 0 }'
}

has_python() { python3 -c 'import ensurepip, venv' 2>/dev/null; }

has_chromium() { [[ -n $(local-stack/scripts/chromium.sh) ]]; }

has_nginx() { has nginx || [[ -x /usr/sbin/nginx ]]; }
has_pgbouncer() { has pgbouncer || [[ -x /usr/sbin/pgbouncer ]]; }

# The first package of a list that this distribution has.
first_available() {
    local package
    for package in "$@"; do
        # Not grep -q: it stops reading, and what it then does to the writer would look like "not found".
        if apt-cache show "$package" 2>/dev/null | grep '^Version:' >/dev/null; then
            printf '%s\n' "$package"
            return
        fi
    done
    printf '%s\n' "$1"
}

# One line for each thing that is missing: NAME.
missing() {
    if ! has cc || ! has c++ || ! has make; then echo compiler; fi
    has redis-server || echo redis
    has_postgres && has psql || echo postgres
    (($(java_version) >= java_min)) || echo java
    has mvn || echo maven
    (($(node_version) >= node_min)) || echo node
    has npm || echo npm
    if [[ ${1:-} == --bench || ${1:-} == --test ]] && ! has_python; then echo python; fi
    if [[ ${1:-} == --test ]] && ! has_chromium; then echo chromium; fi
    if [[ ${1:-} == --test ]] && ! has_nginx; then echo nginx; fi
    if [[ ${1:-} == --test ]] && ! has_pgbouncer; then echo pgbouncer; fi
    if [[ ${1:-} == --test ]] && ! has promtool; then echo prometheus; fi
    if [[ ${1:-} == --test ]] && ! has openssl; then echo openssl; fi
}

debian_package() {
    case $1 in
    compiler) echo build-essential ;;
    redis) echo redis-server ;;
    postgres) echo postgresql ;;
    java) first_available openjdk-21-jre-headless openjdk-17-jre-headless openjdk-25-jre-headless ;;
    maven) echo maven ;;
    node) echo nodejs ;;
    npm) echo npm ;;
    chromium) first_available chromium chromium-browser ;;
    python) echo python3-venv ;;
    nginx) echo nginx-light ;;
    pgbouncer) echo pgbouncer ;;
    prometheus) echo prometheus ;;
    openssl) echo openssl ;;
    esac
}

in_words() {
    case $1 in
    compiler) echo "a C and C++ compiler with make" ;;
    redis) echo "Redis (redis-server)" ;;
    postgres) echo "PostgreSQL (server and psql)" ;;
    java) echo "Java $java_min or newer" ;;
    maven) echo "Maven (mvn)" ;;
    node) echo "Node.js $node_min or newer" ;;
    npm) echo "npm" ;;
    chromium) echo "Chromium or Chrome (or CHROMIUM, which names one)" ;;
    nginx) echo "nginx" ;;
    python) echo "Python 3 with venv and pip" ;;
    pgbouncer) echo "PgBouncer" ;;
    prometheus) echo "Prometheus (promtool)" ;;
    openssl) echo "OpenSSL (openssl)" ;;
    esac
}

list() {
    local thing line=''
    for thing in "$@"; do line+="${line:+, }$(in_words "$thing")"; done
    printf '%s' "$line"
}

has cargo || fail "Rust is missing: install it from https://rustup.rs, open a new shell, and try again."

mapfile -t lacking < <(missing "${1:-}")
if ((${#lacking[@]} == 0)); then exit 0; fi
words=$(list "${lacking[@]}")

if ! has apt-get; then
    fail "This machine lacks: $words. Install these with your package manager, then try again (this script knows only Debian and Ubuntu)."
fi

root=()
if ((EUID != 0)); then
    has sudo || fail "This machine lacks: $words. Installing them needs root, and there is no sudo: ask an administrator."
    root=(sudo)
fi

echo "== installing what is missing (a minute or two): $words"
export DEBIAN_FRONTEND=noninteractive
"${root[@]}" apt-get update -qq ||
    fail "The package lists cannot be fetched: check the network, then try again. Missing are: $words."
packages=()
for thing in "${lacking[@]}"; do packages+=("$(debian_package "$thing")"); done
"${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null ||
    fail "These packages could not be installed: ${packages[*]}. Install them yourself, then try again."

hash -r
mapfile -t lacking < <(missing "${1:-}")
if ((${#lacking[@]} > 0)); then
    fail "Still missing after installing ${packages[*]}: $(list "${lacking[@]}"). This distribution's packages are too old or too few: install these by hand, then try again."
fi
