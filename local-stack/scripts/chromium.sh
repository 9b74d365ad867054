#!/usr/bin/env bash
# Prints the path of a Chromium or Chrome on this machine: CHROMIUM, where that is set; nothing, where there is none.
if [[ -n ${CHROMIUM:-} ]]; then
    printf '%s\n' "$CHROMIUM"
    exit
fi
for name in chromium google-chrome google-chrome-stable chromium-browser; do
    if command -v "$name"; then exit; fi
done
