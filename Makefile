# The front door. Every target is a script in scripts/ that can also be run by itself.
.DEFAULT_GOAL := help
.PHONY: help up down status order check test bench clean docs

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: ## a VM with the whole platform, the example application and one order through it (SECRETS=azure: with a vault)
	@scripts/up

down: ## remove the VM and everything that was written for it
	@scripts/down

status: ## the health report of that VM; exit 0 only when healthy
	@scripts/status

order: ## send one more order through it
	@scripts/order

check: ## lint, types and unit tests (under two minutes)
	@scripts/check

test: ## as CI runs it: all that fits into 80 minutes, and says what does not (scripts/test --all: everything)
	@scripts/test

bench: ## times, task counts and throughput, written to .local/bench
	@scripts/bench

docs: ## generate the reference from the code
	@scripts/bootstrap && .local/venv/bin/python scripts/docs

clean: down ## down, and also remove the environment, the host images and the artifact cache
	@scripts/clean
