#!/bin/sh
# The engine: prefill and decode, and the share of the memory bandwidth that decoding reaches, with random weights of
# TinyLlama's shape and with the embedded model; and what schemas cost with a vocabulary of Llama 3's size.
set -eu
cd "$(dirname "$0")/.."
program=${OG_BUILD:-build}/bench/engine-bench
"$program" --rounds 5 --prefill 128 --decode 24
"$program" --rounds 5 --prefill 256 --decode 64 --model models/opengateway-spark.gguf
"$program" --rounds 5 --decode 100 --constrained --shape 2048,22,5632,32,4,128256
