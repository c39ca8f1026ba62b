#!/bin/sh
# The store, request records and access, on the disk under TMPDIR.
set -eu
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${OG_BUILD:-build}/bench/store-bench" "$folder"
