#!/usr/bin/env bash
# Prints every sentence that the programs can say: log lines, errors, contexts of errors. One a line, with its place, without tests.
set -euo pipefail
cd "$(dirname "$0")/../.."

git ls-files '*/src/*.rs' | while read -r file; do
    awk -v file="$file" '
        /^#\[cfg\(test\)\]/ { exit }
        { line = $0 }
        # The sentence may stand on one of the next lines.
        pending && match(line, /"[^"]*[a-z][^"]*"/) { print file ":" FNR "\t" kind "\t" substr(line, RSTART + 1, RLENGTH - 2); pending = 0; next }
        pending && --pending == 0 { }
        match(line, /(tracing::)?(error|warn|info|debug)!\(|bail!\(|anyhow!\(|ensure!\(|with_context\(|\.context\(|\.problem\(|#\[error\(|\.(down|degraded)\(|io::Error::other\(/) {
            kind = substr(line, RSTART, RLENGTH); gsub(/[^a-z:_]/, "", kind)
            rest = substr(line, RSTART + RLENGTH)
            if (match(rest, /"[^"]*[a-z][^"]*"/)) print file ":" FNR "\t" kind "\t" substr(rest, RSTART + 1, RLENGTH - 2)
            else pending = 4
        }
    ' "$file"
done
