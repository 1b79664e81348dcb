# `make test` is what CI runs: everything, on both databases and both queues.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

TOOLS := .cache/bin
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

.PHONY: test
test: ## lint, then all tests on SQLite, then all on PostgreSQL and Redis (brought up for it)
	@bash .ci/test.sh

.PHONY: lint
lint: tools ## formatting, golangci-lint, and the proof that the floor plan is enforced
	@bash .ci/lint.sh

.PHONY: format
format: tools ## put all Go files into shape
	@$(TOOLS)/golangci-lint fmt
	@gofmt -w .ci

.PHONY: generate
generate: ## GraphQL code, from graph/schema
	go generate ./...

.PHONY: build
build: ## bin/channelgraph, a static binary
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X github.com/channelgraph/channelgraph/internal/app.Version=$(VERSION)' -o bin/channelgraph ./cmd/channelgraph

.PHONY: bench
bench: ## the figures as ratios within one run, on SQLite and again on PostgreSQL
	go test -run '^$$' -bench 'Page|Statements|ColdStart' -benchtime=1x -timeout 30m ./internal/... ./graph/...
	bash .ci/services.sh go test -run '^$$' -bench 'Page|Statements|ColdStart' -benchtime=1x -timeout 30m ./internal/... ./graph/...

.PHONY: bench-jobs
bench-jobs: ## the job figures beside raw Asynq and River, on PostgreSQL and Redis
	mkdir -p .cache/bin
	GOFLAGS=-mod=readonly go -C .ci/peers build -o $(CURDIR)/.cache/bin/river-peer ./river
	CHANNELGRAPH_TEST_RIVER=$(CURDIR)/.cache/bin/river-peer bash .ci/services.sh go test -run '^$$' -bench 'Mixed|Drain|Latency|River' -benchtime=1x -timeout 30m ./workers

.PHONY: bench-enroll
bench-enroll: ## 10,000 timers due at once beside plain jobs, and the review queue among 1,000,000, on SQLite and again on PostgreSQL
	go test -run '^$$' -bench Timers -benchtime=1x -timeout 30m ./internal/app
	go test -run '^$$' -bench Queue -benchtime=200x -timeout 60m ./internal/enrollment
	bash .ci/services.sh go test -run '^$$' -bench Timers -benchtime=1x -timeout 30m ./internal/app
	bash .ci/services.sh go test -run '^$$' -bench Queue -benchtime=200x -timeout 60m ./internal/enrollment

.PHONY: bench-desk
bench-desk: ## the operator's desk and the queue of profile updates among 1,000,000, 5,000 promises moved by a holiday, on SQLite and again on PostgreSQL
	go test -run '^$$' -bench 'Desk|Queue' -benchtime=200x -timeout 60m ./internal/desk ./internal/directory
	go test -run '^$$' -bench Holiday -benchtime=1x -timeout 10m ./internal/directory
	bash .ci/services.sh go test -run '^$$' -bench 'Desk|Queue' -benchtime=200x -timeout 60m ./internal/desk ./internal/directory
	bash .ci/services.sh go test -run '^$$' -bench Holiday -benchtime=1x -timeout 10m ./internal/directory

.PHONY: bench-api
bench-api: ## the guard's cost, hostile documents beside small queries, 5,000 streams
	go test -run '^$$' -bench 'GuardFitting|Hostile|Streams' -benchtime=1x -timeout 30m ./graph

.PHONY: bench-tree
bench-tree: ## customer trees beside hand-written programs, on a generated world of BENCH_CUSTOMERS (1,000,000) in PostgreSQL
	mkdir -p .cache/bin
	GOFLAGS=-mod=readonly go -C .ci/peers build -o $(CURDIR)/.cache/bin/limit-peer ./limit
	CHANNELGRAPH_TEST_LIMIT=$(CURDIR)/.cache/bin/limit-peer CHANNELGRAPH_BENCH_CUSTOMERS=$(BENCH_CUSTOMERS) bash .ci/services.sh bash -c \
		'export CHANNELGRAPH_BENCH_WORLD=$$CHANNELGRAPH_TEST_POSTGRES; met=0; \
		go test -run "^$$" -bench Build -benchtime=1x -timeout 120m ./internal/seed/scale && \
		for figure in Dashboard=./internal/app AddCustomer=./internal/seed/scale; do \
			go test -run "^$$" -bench "$${figure%%=*}" -benchtime=1x -timeout 60m "$${figure#*=}" || met=1; done; exit $$met'

BENCH_CUSTOMERS ?= 1000000

.PHONY: tools
tools:
	@bash .ci/tools.sh

.PHONY: clean
clean: ## remove what was built here
	rm -rf bin .cache
