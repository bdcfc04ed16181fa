# Every command of the project. The work is done by the scripts in .ci/, which read as well.

FUZZ  ?= 1m
BENCH ?= .
COUNT ?= 1
ROUNDS ?= 20
FOR   ?= 10m

.PHONY: help run test flaky lint bench fuzz soak chaos gates proto proto-check types pages

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

run: ## start the chat example; open the address that it prints
	go run ./examples/chat

test: ## run every test and set up what they need: Go, fuzz seeds, browser
	@.ci/test.sh

flaky: ## run the Go tests many times on a busy machine and count failures (ROUNDS=20)
	@.ci/flaky.sh $(ROUNDS)

lint: ## run the linter, built into bin/ the first time
	@.ci/lint.sh

bench: ## run the Go benchmarks with allocations (BENCH=regexp, COUNT=n)
	go test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) work

fuzz: ## fuzz each target for a while (FUZZ=1m)
	@.ci/fuzz.sh $(FUZZ)

soak: ## put 10,000 clients on a node, hostile ones among them (FOR=10m)
	@.ci/trial.sh soak $(FOR)

chaos: ## kill, stop and cut the processes of a cluster under load (FOR=10m)
	@.ci/trial.sh chaos $(FOR)

gates: ## restart the gates of a cluster one by one, and kill one, under clients that resume
	@.ci/trial.sh gates

proto: ## generate the Go code of the .proto files
	@.ci/proto.sh

types: ## write the types of the examples' routes, from what the examples say of themselves
	@.ci/types.sh

proto-check: ## fail if the generated code is not what its .proto file gives
	@.ci/proto.sh -check

pages: ## build the client that the examples' pages load, from clients/js
	@cd clients/js && npm ci --no-audit --no-fund && npm run pages
