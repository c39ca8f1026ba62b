#!/bin/sh
# The p2p room on one core, next to a bare loop of seal, send, receive and open in the same process.
set -eu
cd "$(dirname "$0")/.."
exec "${OG_BUILD:-build}/bench/p2p-bench"
