# Two commands start everything on a fresh machine: `make demo` and `make test`.
# Beforehand only Rust must be there (https://rustup.rs); what else is missing is installed.

.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-print-directory

# Options of `make demo`, for example ARGS="--replay ../days --pace 20x" (see `local-stack demo --help`).
ARGS ?=

# Sections of `make bench`, and its options: SECTIONS="cold ingest", SECTIONS="market --fast", see `target/release/bench --help`.
SECTIONS ?=

.PHONY: help demo check env messages test bench chaos deps infra dashboard build fmt clean-data

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: deps dashboard ## Start the whole pipeline on a simulated market; Ctrl-C stops it (ARGS="--replay FOLDER --pace 20x", …)
	@echo "== building the services (the first time takes a few minutes)"
	@cargo build --release --workspace --bins
	@exec target/release/local-stack demo $(ARGS)

test: ## Run every test there is: formatting, lints, docs, dashboard, services on real servers, the page in Chromium
	@exec local-stack/scripts/test.sh

check: ## Before each commit: formatting, lints, and the tests that need no servers
	@cargo fmt --all --check
	@cargo clippy --workspace --all-targets --quiet -- -D warnings
	@cargo test --quiet --package market --package service --lib --tests

env: ## Write random passwords for docker compose to .env, where there are none
	@local-stack/scripts/env.sh

messages: ## Print every error and log line of the code, to read them in one list
	@local-stack/scripts/messages.sh

bench: ## Measure the pipeline beside its peers (SECTIONS="cold ingest latency gateway api market day"; FAST=1 for the short forms of market and day)
	@local-stack/scripts/deps.sh --bench
	@echo "== building everything for production"
	@cargo build --release --workspace --bins --examples
	@exec target/release/bench $(SECTIONS)

chaos: deps ## Kill, freeze and starve the cold path for ten minutes, then compare what is stored with what was sent (ARGS="--kills 20 --seconds 120 --seed 7")
	@echo "== building everything for production"
	@cargo build --release --workspace --bins
	@exec target/release/local-stack chaos $(ARGS)

deps: ## Install what is missing: Redis, PostgreSQL, Java, Maven, Node, a C compiler
	@local-stack/scripts/deps.sh

infra: deps ## Start Kafka, Redis and PostgreSQL only, and print the variables that name them
	@cargo build -q --package local-stack
	@exec target/debug/local-stack infra $(ARGS)

dashboard: deps ## Build the web page
	@local-stack/scripts/dashboard.sh

build: ## Build every program for production
	@cargo build --release --workspace --bins

fmt: ## Format all Rust code
	@cargo fmt --all

clean-data: ## Forget all data of the demo (not while it runs)
	@local-stack/scripts/clean-data.sh
