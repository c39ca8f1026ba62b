# A thin front for meson, ninja and scripts/. `make help` lists what there is.
#
#   SKIP_DEPS=1      do not look for missing packages
#   FUZZ_SECONDS=60  how long each fuzz target runs
#   SCENARIO= SEED=  one simulated scenario, one seed

BUILD        ?= build
PREFIX       ?= /usr/local
FUZZ_SECONDS ?= 60
NINJA        := ninja -C $(BUILD)

.DEFAULT_GOAL := all

## build the program into build/gate (the default)
all: deps $(BUILD)/build.ninja
	@$(NINJA)

$(BUILD)/build.ninja: | deps
	@meson setup $(BUILD)

deps:
	@$(if $(SKIP_DEPS),:,scripts/install-deps --build)

# Before scripts/test: that is Python, which a fresh machine has not.
test-deps:
	@$(if $(SKIP_DEPS),:,scripts/install-deps --test)

## three nodes, one cluster, one prompt, answered by a real model
demo: deps $(BUILD)/build.ninja
	@$(NINJA) gate
	@GATE=$(BUILD)/gate scripts/run-poc.sh

## everything: lint, unit, sanitizers, integration; ends with "N passed, N failed"
test: test-deps
	@SKIP_DEPS=1 scripts/test

## the slow ones too: clang-tidy, more seeds, a fresh Debian
test-long: test-deps
	@SKIP_DEPS=1 scripts/test --long

## layers, banned calls, formatting, headers, file sizes, scripts
lint: test-deps
	@SKIP_DEPS=1 scripts/test --only lint

## clang-tidy over every source file
lint-full: test-deps
	@SKIP_DEPS=1 scripts/test --only lint,tidy

## run every benchmark (see docs/benchmarks.md)
bench: all
	@scripts/bench

## run each fuzz target for FUZZ_SECONDS
fuzz:
	@scripts/fuzz $(FUZZ_SECONDS)

## replay one simulated scenario: make sim SCENARIO=three-nodes SEED=7
sim: all
	@$(BUILD)/sim/gate-sim $(if $(SCENARIO),--scenario $(SCENARIO)) $(if $(SEED),--seed $(SEED))

## rewrite all C files with clang-format
format:
	@git ls-files -co --exclude-standard '*.c' '*.h' | xargs clang-format-14 -i

## install the pre-commit check into this clone
hooks:
	@ln -sf ../../scripts/pre-commit "$$(git rev-parse --git-dir)/hooks/pre-commit"
	@echo "pre-commit check installed"

## install the program (PREFIX, DESTDIR)
install: all
	@install -D -m 755 $(BUILD)/gate $(DESTDIR)$(PREFIX)/bin/gate
	@echo "installed $(DESTDIR)$(PREFIX)/bin/gate"

## remove what was built
clean:
	@rm -rf build build-asan build-tsan build-fuzz

## this list
help:
	@awk '/^## /{text=substr($$0,4)} /^[a-z][a-z-]*:/{sub(":.*","");if(text){printf "  %-12s %s\n",$$0,text;text=""}}' Makefile

.PHONY: all deps test-deps demo test test-long lint lint-full bench fuzz sim format hooks install clean help
