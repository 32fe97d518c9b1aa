# Gatepost. `make` lists what can be done here.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help

# rustup's cargo, also where a login shell has not set the path.
export PATH := $(HOME)/.cargo/bin:$(PATH)

# Only root can start Postfix. Compiling is done as the user who calls make; what cargo builds is then
# run through sudo.
AS_ROOT := $(shell [ "$$(id -u)" = 0 ] || echo 'sudo -E env PATH=$(PATH)')
RUNNER := $(if $(AS_ROOT),CARGO_TARGET_$(shell uname -m | tr a-z A-Z)_UNKNOWN_LINUX_GNU_RUNNER='$(AS_ROOT)')
# cargo-nextest where it is installed; cargo's own test command runs the same tests.
TEST := $(shell PATH="$(PATH)" cargo nextest --version >/dev/null 2>&1 && echo 'nextest run --no-fail-fast' || echo 'test --quiet --no-fail-fast --all-targets')
TARGET := $(or $(CARGO_TARGET_DIR),target)

.PHONY: help
help: ## List the commands
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

.PHONY: demo
demo: demo-build ## Send a sealed mail between two domains on loopback and tell the story
	@$(AS_ROOT) $(TARGET)/debug/demo

.PHONY: run
run: demo-build ## The same, and keep both domains running until Ctrl-C
	@$(AS_ROOT) $(TARGET)/debug/demo --stay

.PHONY: demo-build
demo-build:
	@./setup demo
	cargo build --locked --workspace --bins

.PHONY: test
test: ## Install what the tests need and run every check
	@./setup test
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	# The daemon's binary, which the tests start, in the same build as the tests.
	cargo build --locked --workspace --all-targets
	$(RUNNER) cargo $(TEST) --locked --workspace
	cargo test --quiet --locked --workspace --doc
	if cargo deny --version >/dev/null 2>&1; then cargo deny --locked check -A unused-wrapper bans licenses sources; fi

.PHONY: fmt
fmt: ## Format the code
	cargo fmt --all

.PHONY: lint
lint: ## Check format, lints and dependencies
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	if cargo deny --version >/dev/null 2>&1; then cargo deny --locked check -A unused-wrapper; fi

.PHONY: bench
bench: ## Measure against Postfix alone, libmilter and gpg, and write docs/benchmarks.md (QUICK=1; MILLION=1; ONLY=relay, wkd, publication, keylog)
	@./setup test
	@AS_ROOT='$(AS_ROOT)' TARGET='$(TARGET)' QUICK='$(QUICK)' MILLION='$(MILLION)' ONLY='$(ONLY)' tests/bench/run
