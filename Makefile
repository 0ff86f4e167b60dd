# Needs Go 1.26, gcc (for the race detector), GNU make and bash. Tools of the trade are installed into .bin.
# Try "make help".

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# gofumpt, go vet and staticcheck, rather than golangci-lint: the same findings for half a minute of compiling on a
# new machine, where golangci-lint and its two hundred modules take many.
GOFUMPT_VERSION := v0.12.0
STATICCHECK_VERSION := v0.8.2

GOFUMPT := .bin/gofumpt-$(GOFUMPT_VERSION)
STATICCHECK := .bin/staticcheck-$(STATICCHECK_VERSION)

# Every module of the tree, the root first, and those that "make test" leaves to "make prove" to run with the race
# detector: they measure, drive browsers and generate code, or run SQLite as Go code, which takes the detector a minute.
# What they run of the library is raced in its own modules.
MODULES := $(shell find . \( -name '.?*' -o -name testdata -o -name node_modules \) -prune -o \
	-name go.mod -printf '%h\n' | sort)
UNRACED := ./bench ./examples/customstore ./tools/browser ./tools/clients ./tools/openapi

# How long to fuzz each target, how long the tests of one package may take, and which rows of the defences table to
# try (a regexp; empty is all of them).
FUZZTIME ?= 60s
TIMEOUT ?= 8m
ROWS ?=

# How many modules to test at a time: while the tests of one wait for a server or a clock, those of another compute.
JOBS ?= 2

# What to release, and whether to make its branch and tags or only look.
VERSION ?=
APPLY ?=

# Lint sees the workspace, as an editor does; tests do not (see .ci/module). testsum counts them, and fails.
define run_tests
	UNRACED='$(UNRACED)' TIMEOUT=$(1) .bin/testsum -j $(JOBS) .ci/module $(MODULES)
endef

define run_gate
	GOWORK=off go build -o .bin/gate ./tools/gate && .bin/gate $(1)
endef

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: test
test: testsum ## every test of every module, with the race detector; long proofs in their short forms
	@.ci/components
	@$(call run_tests,$(TIMEOUT))

.PHONY: lint
lint: $(GOFUMPT) $(STATICCHECK) ## gofumpt, go vet and staticcheck, over every module
	@bad=$$($(GOFUMPT) -l .); if [[ -n $$bad ]]; then printf 'not formatted ("make fmt" does it):\n%s\n' "$$bad"; exit 1; fi
	@code=0; for m in $(MODULES); do \
		( cd $$m && go vet ./... && $(CURDIR)/$(STATICCHECK) ./... ) || { echo "lint: $$m has findings"; code=1; }; \
	done; exit $$code

.PHONY: platforms
platforms: ## the types of every module and its tests on 386, arm, Windows and macOS; the tables of badgerstore on 386
	@GOWORK=off go build -o .bin/platforms ./tools/platforms && .bin/platforms linux/386,linux/arm,windows/amd64,darwin/arm64 $(MODULES)
	@if [[ $$(go env GOHOSTOS)/$$(go env GOHOSTARCH) == linux/amd64 ]]; then \
		GOARCH=386 GOWORK=off go test -vet=off -run '^TestLargeTablesAreReadBack$$' ./storage/badgerstore; \
	else echo "left out: badgerstore on 386 (this machine does not run it)"; fi

.PHONY: fmt
fmt: $(GOFUMPT) ## format every Go file
	@$(GOFUMPT) -w .

.PHONY: fuzz
fuzz: ## each fuzz target of the tree for FUZZTIME (60s)
	@{ grep -rEo '^func Fuzz\w+' --include='*_test.go' --exclude-dir=testdata . || true; } | sort | while IFS=: read -r file func; do \
		name=$${func#func }; \
		echo "== $${file%/*} $$name"; \
		( cd "$${file%/*}" && GOWORK=off go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) . </dev/null ); \
	done

.PHONY: defences
defences: ## take each defence out and see that its test notices; ROWS=regexp selects
	@LATCHKEY_DEFENCES=1 LATCHKEY_DEFENCES_RUN='$(ROWS)' GOWORK=off go test -v -count=1 -timeout 60m -run '^TestDefences$$' ./tools/tree | grep -v '^=== '

.PHONY: prove
prove: UNRACED :=
prove: fuzz defences testsum ## the long proofs: fuzz, defences, every test in its long form
	@.ci/components
	@export LATCHKEY_LONG=1 GOFLAGS="$$(go env GOFLAGS) -count=1"; $(call run_tests,60m)

.PHONY: adapters
adapters: ## one table of all adapters: what each does in every case, and its lines of code
	@cd tools/adapters && GOWORK=off go run .

.PHONY: gate
gate: ## instructions of the hot path against their budget; needs valgrind
	@$(call run_gate,)

.PHONY: gate-accept
gate-accept: ## write the counted instructions into the budget
	@$(call run_gate,-accept)

.PHONY: cover
cover: ## statement coverage of the root module; coverage.html shows the lines
	@GOWORK=off go test -coverprofile=coverage.out -coverpkg=./... ./... >coverage.log || { cat coverage.log; exit 1; }
	@GOWORK=off go tool cover -html=coverage.out -o coverage.html
	@GOWORK=off go tool cover -func=coverage.out | tail -n 1

.PHONY: quickstart
quickstart: ## run the example server
	@GOWORK=off go run ./examples/quickstart

.PHONY: screenshots
screenshots: ## pictures of the settings page, into docs/images; needs chromium and fonts-inter
	@mkdir -p docs/images && cd tools/browser && GOWORK=off go run ./cmd/screenshots $(CURDIR)/docs/images '^(list|list-dark|list-phone|reveal|key)$$'

.PHONY: release
release: ## check whether VERSION can be released; with APPLY=1, make its branch and tags (see RELEASE.md)
	@GOWORK=off go build -o .bin/release ./tools/release && .bin/release $(if $(APPLY),-apply) '$(VERSION)'

.PHONY: clean
clean: ## remove tools, coverage, profiles and the quickstart's database
	@rm -rf .bin coverage.* examples/quickstart/quickstart.db quickstart.db
	@find . -path ./.git -prune -o \( -name '*.test' -o -name '*.prof' \) -type f -exec rm -f {} +

.PHONY: testsum
testsum:
	@GOWORK=off go build -o .bin/testsum ./tools/testsum

# A tool's file carries its version, so that a new pin installs a new tool.
$(GOFUMPT):
	@GOBIN=$(CURDIR)/.bin GOFLAGS= go install mvdan.cc/gofumpt@$(GOFUMPT_VERSION)
	@mv .bin/gofumpt $@

$(STATICCHECK):
	@GOBIN=$(CURDIR)/.bin GOFLAGS= go install honnef.co/go/tools/cmd/staticcheck@$(STATICCHECK_VERSION)
	@mv .bin/staticcheck $@
