#!/bin/sh
# Many connections: what ten thousand idle ones cost, and how a healthy peer fares among 500 hostile ones.
set -eu
cd "$(dirname "$0")/.."
"${OG_BUILD:-build}/bench/p2p-idle"
exec "${OG_BUILD:-build}/bench/p2p-hostile"
