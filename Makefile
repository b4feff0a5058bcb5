# Copyright The etcdreceiver Authors
# SPDX-License-Identifier: Apache-2.0
#
# Every target does its own set-up. Programs come from the Go module proxy at pinned versions: tools/go.mod,
# tools/etcd/*/go.mod and tools/etcd/matrix. What is built lies in bin/, _build/ and .cache/, which git ignores.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules --no-print-directory
.DEFAULT_GOAL := help

# A checkout that is no plain clone has no version that Go could stamp.
export GOFLAGS ?= -buildvcs=false

# The options that `make help` names. UPDATE=1 writes the table anew that the target compares with.
FOR ?= 0
MEMBERS ?= 3
KEEP ?=
FUZZTIME ?= 10s
SOAK ?= 30m
CYCLES ?= 500

DISTRIBUTION := _build/otelcol-etcd
ETCD_MINORS := 3.5 3.6 3.7
ETCDS_OF_MINORS := $(ETCD_MINORS:%=.cache/etcd/%/etcd)
# What test/trace reads besides: code of an old compiler, and code that has no fixed place.
ETCDS_TRACED := .cache/etcd/3.5-go1.19/etcd .cache/etcd/3.7-pie/etcd

# All builds of tools/etcd/matrix, and those that test-compat traces: it looks into the others only.
ETCD_MATRIX := $(shell sed -n 's/^\([^\# ]*\) .*/\1/p' tools/etcd/matrix)
ETCDS_BUILT := $(ETCD_MATRIX:%=.cache/etcd/%/etcd)
ETCDS ?= 3.4 $(ETCD_MINORS) $(filter-out %-arm64 changed-%,$(ETCD_MATRIX))

# What Debian has, as a cloud kernel. The archive goes on: what it has no more is left out, with a line that says so; in
# CI it fails.
KERNELS ?= $(foreach series,5.10 6.1 6.12 newest,$(series)-amd64 $(series)-arm64)
KERNEL_ARCHS = $(sort $(patsubst %-amd64,amd64,$(filter %-amd64,$(KERNELS))) $(patsubst %-arm64,arm64,$(filter %-arm64,$(KERNELS))))
UPDATE ?=

# What the suites find their programs by.
TEST_ENV = OTELCOL_ETCD="$(CURDIR)/$(DISTRIBUTION)" ETCD_BIN_DIR="$(CURDIR)/.cache/etcd" VICTORIA_LOGS="$(CURDIR)/$(VICTORIA_LOGS)"

# The backend of docs/audit-trail.md.
VICTORIA_LOGS := .cache/victorialogs/victoria-logs

# Modules that are checked. test/ is a module of its own, so that users of the receiver do not inherit what the suites
# need. So is test/bench/, which is not here: the rival that it measures takes 20 CPU minutes to compile once.
MODULES := . test

# Builds a prerequisite now, after a line that says how far the target is: $(call step,1/4,what it is,file to build).
# A prerequisite in the usual place would be built before the first line is printed.
step = @echo "[$(1)] $(2)"; $(if $(3),$(MAKE) -s $(3))

##@ Use
.PHONY: help
help: ## Show this list.
	@awk 'BEGIN {FS = ":.*## "} /^##@ / {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-z][a-z0-9-]*:.*## / {printf "  make %-19s %s\n", $$1, $$2}' Makefile
	@echo; echo "Options: run FOR=30s MEMBERS=5 KEEP=1; fuzz FUZZTIME=1m; soak SOAK=2h CYCLES=1000;"
	@echo '         test-kernels KERNELS="5.10-amd64 6.12-arm64" UPDATE=1; test-compat ETCDS="3.4 3.6.0" UPDATE=1'

.PHONY: run
run: ## Start an etcd cluster, a workload and the collector, and show what it sees (FOR=30s, else until Ctrl-C).
	$(call step,1/4,etcd $(call etcd_version,3.6),.cache/etcd/3.6/etcd)
	$(call step,2/4,the collector distribution,$(DISTRIBUTION))
	$(call step,3/4,the demo)
	@go build -o bin/demo ./cmd/demo
	$(call step,4/4,running; Ctrl-C ends it)
	@exec bin/demo -etcd .cache/etcd/3.6/etcd -collector $(DISTRIBUTION) -for $(FOR) -members $(MEMBERS) $(if $(KEEP),-keep)

.PHONY: build
build: ## Build the collector distribution, _build/otelcol-etcd.
	$(call step,1/1,the collector distribution,$(DISTRIBUTION))

.PHONY: build-arm64
build-arm64: ## Build it for Linux on arm64, _build/otelcol-etcd-arm64.
	$(call step,1/2,its source,$(DISTRIBUTION))
	$(call step,2/2,the collector distribution for arm64)
	@tools/patiently.sh "compiling for arm64 takes three CPU minutes the first time" \
	  env CGO_ENABLED=0 GOOS=linux GOARCH=arm64 go -C _build build -tags "$$(sed -n "s/.*build_tags: //p" builder-config.yaml)" -trimpath -ldflags "-s -w" -o otelcol-etcd-arm64 .

##@ Check
.PHONY: test
test: ## Run all tests, with real etcds of every supported minor and the race detector.
	$(call step,1/8,etcd 3.4 from Debian)
	@tools/etcd/fetch-3.4.sh .cache/etcd/3.4
	$(call step,2/8,etcd $(foreach minor,$(ETCD_MINORS),$(call etcd_version,$(minor))) and $(ETCDS_TRACED:.cache/etcd/%/etcd=%),$(ETCDS_OF_MINORS) $(ETCDS_TRACED))
	$(call step,3/8,the collector distribution and VictoriaLogs,$(DISTRIBUTION) $(VICTORIA_LOGS))
	$(call step,4/8,generated code is up to date)
	@MAKE="$(MAKE)" tools/check-generated.sh
	$(call step,5/8,one collector release)
	@tools/check-release.sh $(MODULES) _build
	$(call step,6/8,go vet)
	@for module in $(MODULES); do (cd $$module && go vet ./...); done
	$(call step,7/8,go test)
	@race=$$(tools/race-flag.sh); \
	  tools/patiently.sh "compiling the tests takes a minute or two the first time" env $(TEST_ENV) go test -count=1 $$race ./...
	$(call step,8/8,go test of the suites in test/)
	@tools/need-ip.sh
	@# -count=1: Go does not see that a program under test, or an example, has changed.
	@race=$$(tools/race-flag.sh); cd test && \
	  "$(CURDIR)/tools/patiently.sh" "real clusters, a quarter of an hour" env $(TEST_ENV) go test -count=1 -timeout 40m $$race ./...

.PHONY: test-kernels
test-kernels: ## Trace real etcds on other kernels, amd64 and arm64, under qemu.
	$(call step,1/4,qemu and kernels)
	@tools/need-qemu.sh
	@tools/fetch-kernel.sh .cache/kernels $(KERNELS)
	$(call step,2/4,etcd $(call etcd_version,3.6) and 3.4 for $(KERNEL_ARCHS),$(KERNEL_ARCHS:%=.cache/kernels/etcd-%/etcd))
	@tools/etcd/fetch-3.4-guest.sh .cache/kernels $(KERNEL_ARCHS)
	$(call step,3/4,the tests as a static program)
	@for arch in $(KERNEL_ARCHS); do tools/patiently.sh "compiling for $$arch takes two minutes the first time" \
	  env CGO_ENABLED=0 GOOS=linux GOARCH=$$arch go -C test test -c -ldflags "-s -w" -o "$(CURDIR)/.cache/kernels/trace-$$arch.test" ./trace; done
	$(call step,4/4,kernels $(KERNELS))
	@cd test && "$(CURDIR)/tools/patiently.sh" "as many machines at a time as there are cores" env KERNELS="$(KERNELS)" KERNELS_DIR="$(CURDIR)/.cache/kernels" \
	  go test -count=1 -timeout 90m -v ./kernels $(if $(UPDATE),-update)

.PHONY: test-compat
test-compat: ## Trace each build of etcd that users may run (17, a minute or two each to build the first time).
	@[ "$$(id -u)" = 0 ] || { echo "!! make test-compat needs root: it puts programs into the kernel" >&2; exit 1; }
	$(call step,1/3,etcd $(ETCDS) and some that have changed)
	@tools/etcd/fetch-3.4.sh .cache/etcd/3.4
	@tools/need-cc.sh
	@$(MAKE) -s $(patsubst %,.cache/etcd/%/etcd,$(filter-out 3.4,$(ETCDS)) $(filter %-arm64 changed-%,$(ETCD_MATRIX)))
	$(call step,2/3,what the probes need is in each)
	@env $(TEST_ENV) go test -count=1 ./receiver/trace -run 'TestEveryBuildOfEtcdHasAllThatTheProbesNeed|TestAFieldOfAnotherKind'
	$(call step,3/3,each is traced as it was asked and answered)
	@cd test && "$(CURDIR)/tools/patiently.sh" "half a minute each" env $(TEST_ENV) ETCDS="$(ETCDS)" go test -count=1 -timeout 60m -v ./trace \
	  -run 'TestEveryBuildOfEtcd|TestAnEtcdWhoseFieldsHaveMoved|TestAnEtcdThatWouldBeReadWrongly|TestWhatAnEtcdDoesNotHave' $(if $(UPDATE),-update)

.PHONY: cross
cross: ## Compile the receiver and its tests for other systems and architectures.
	@for target in linux/arm64 darwin/arm64 windows/amd64; do \
	  tools/patiently.sh "$$target (two CPU minutes the first time)" env CGO_ENABLED=0 GOOS=$${target%/*} GOARCH=$${target#*/} go vet ./...; done
	@cd test && for target in linux/arm64:./... darwin/arm64:./cluster windows/amd64:./cluster; do system=$${target%%:*}; \
	  "$(CURDIR)/tools/patiently.sh" "the suites on $$system" env CGO_ENABLED=0 GOOS=$${system%/*} GOARCH=$${system#*/} go vet $${target#*:}; done

.PHONY: lint
lint: ## Check format (gofumpt), go vet and staticcheck.
	$(call step,1/4,gofumpt and staticcheck,bin/gofumpt bin/staticcheck)
	$(call step,2/4,format)
	@files=$$($(GOFUMPT) -l); if [ -n "$$files" ]; then echo "!! not formatted, \`make fmt\` does it:"; echo "$$files"; exit 1; fi
	$(call step,3/4,go vet)
	@for module in $(MODULES); do (cd $$module && go vet ./...); done
	@cd test && go vet -tags apiserver ./kubernetes # what make test does not compile
	$(call step,4/4,staticcheck)
	@for module in $(MODULES); do (cd $$module && "$(CURDIR)/bin/staticcheck" ./...); done
	@cd test && "$(CURDIR)/bin/staticcheck" -tags apiserver ./kubernetes

.PHONY: fmt
fmt: bin/gofumpt ## Format the code: what lint complains about.
	@$(GOFUMPT) -w

.PHONY: bench
bench: ## Run the benchmarks (a rival receiver is compiled the first time, 20 CPU minutes).
	$(call step,1/4,etcd $(call etcd_version,3.6) and the collector distribution,.cache/etcd/3.6/etcd $(DISTRIBUTION))
	$(call step,2/4,benchmarks of single parts)
	@env $(TEST_ENV) go test -run '^$$' -bench . -benchmem ./...
	$(call step,3/4,the watch beside clientv3's watcher)
	@cd test && env $(TEST_ENV) go test -run '^$$' -bench . -timeout 0 ./throughput
	$(call step,4/4,one scrape of a cluster beside prometheusreceiver)
	@cd test/bench && "$(CURDIR)/tools/patiently.sh" "compiling prometheusreceiver takes long the first time" \
	  env $(TEST_ENV) go test -run '^$$' -bench . -benchmem ./...

.PHONY: soak
soak: ## Break things around the distribution, then trace an etcd that works hard, and judge both (each for SOAK=30m).
	$(call step,1/5,etcd $(foreach minor,$(ETCD_MINORS),$(call etcd_version,$(minor))),$(ETCDS_OF_MINORS))
	$(call step,2/5,the collector distribution,$(DISTRIBUTION))
	$(call step,3/5,collectors and etcds that come and go $(CYCLES) times)
	@cd test && env $(TEST_ENV) TRACE_CYCLES=$(CYCLES) go test -count=1 -timeout 0 -v -run 'AndGo.*LeaveNothing|AndGoesLeavesNothing' ./trace
	$(call step,4/5,every fault for $(SOAK))
	@cd test && env $(TEST_ENV) FAULTS_SOAK=$(SOAK) go test -count=1 -timeout 0 -v -run TestDistributionKeepsItsPromises ./faults
	$(call step,5/5,probes in and out for $(SOAK))
	@cd test && env $(TEST_ENV) TRACE_SOAK=$(SOAK) go test -count=1 -timeout 0 -v -run TestTracingNeverHarmsEtcd ./trace

.PHONY: fuzz
fuzz: ## Run every fuzz target for a moment (FUZZTIME=10s).
	@tools/fuzz.sh $(FUZZTIME)

##@ Maintain
.PHONY: generate
generate: bin/mdatagen bin/bpf2go ## Generate code, schema and documentation from metadata.yaml, and compile the BPF programs.
	@tools/need-clang.sh
	@tools/generate-bpf.sh
	@tools/generate.sh

.PHONY: kubernetes-testdata
kubernetes-testdata: ## Build a real kube-apiserver (7 CPU minutes the first time), test against it, and record what it stores.
	$(call step,1/3,kube-apiserver,.cache/kubernetes/kube-apiserver)
	$(call step,2/3,etcd $(call etcd_version,3.6),.cache/etcd/3.6/etcd)
	$(call step,3/3,testdata/kubernetes)
	@cd test && env $(TEST_ENV) RECORD=1 KUBE_APISERVER="$(CURDIR)/.cache/kubernetes/kube-apiserver" go test -tags apiserver -count=1 -v -run TestEachChange ./kubernetes

.PHONY: clean
clean: ## Remove all that was built.
	rm -rf bin _build .cache

# All Go files that are written by hand.
GOFUMPT = find . \( -name _build -o -name .cache -o -name .git \) -prune -o -name '*.go' -print0 | \
  { xargs -0 grep -LZ '^// Code generated .* DO NOT EDIT' || true; } | xargs -0 bin/gofumpt

# The pinned version of an etcd minor.
etcd_version = $(shell sed -n 's|.*go.etcd.io/etcd/server/v3 v\([^ ]*\).*|\1|p' tools/etcd/$(1)/go.mod)

TOOL_builder := go.opentelemetry.io/collector/cmd/builder
TOOL_mdatagen := go.opentelemetry.io/collector/cmd/mdatagen
TOOL_bpf2go := github.com/cilium/ebpf/cmd/bpf2go
TOOL_staticcheck := honnef.co/go/tools/cmd/staticcheck
TOOL_gofumpt := mvdan.cc/gofumpt

bin/builder bin/mdatagen bin/bpf2go bin/staticcheck bin/gofumpt: bin/%: tools/go.mod tools/go.sum
	@tools/patiently.sh "building $* from the Go module proxy" go -C tools build -trimpath -o ../bin/ $(TOOL_$*)
	@touch $@ # Go leaves a program alone that is up to date, and make would ask again

$(ETCDS_OF_MINORS): .cache/etcd/%/etcd: tools/etcd/%/go.mod tools/etcd/%/go.sum
	@tools/patiently.sh "building etcd $(call etcd_version,$*) from the Go module proxy (about a minute the first time)" \
	  env CGO_ENABLED=0 go -C tools/etcd/$* build -trimpath -ldflags "-s -w" -o ../../../$(@D)/ tool
	@mv $(@D)/server $@

# The line of a build in the table, which is newer than the build only if it has changed since.
$(ETCD_MATRIX:%=.cache/etcd/%/line): .cache/etcd/%/line: tools/etcd/matrix
	@mkdir -p $(@D); line=$$(grep '^$* ' $<); if [ ! -e $@ ]; then echo "$$line" >$@; touch -d @0 $@; fi; \
	  [ "$$line" = "$$(<$@)" ] || echo "$$line" >$@

$(ETCDS_BUILT): .cache/etcd/%/etcd: .cache/etcd/%/line
	@tools/patiently.sh "building etcd $* from the Go module proxy (a minute or two the first time)" tools/etcd/build.sh $* $@

$(VICTORIA_LOGS): tools/victorialogs/go.mod tools/victorialogs/go.sum
	@tools/patiently.sh "building VictoriaLogs from the Go module proxy (a minute the first time)" \
	  env CGO_ENABLED=0 go -C $(<D) build -trimpath -ldflags "-s -w" -o ../../$(@D)/ tool
	@touch $@

.cache/kernels/etcd-%/etcd: tools/etcd/3.6/go.mod tools/etcd/3.6/go.sum
	@tools/patiently.sh "building etcd $(call etcd_version,3.6) for $* (about a minute the first time)" \
	  env CGO_ENABLED=0 GOOS=linux GOARCH=$* go -C $(<D) build -trimpath -ldflags "-s -w" -o "$(CURDIR)/$@" go.etcd.io/etcd/server/v3

.cache/kubernetes/kube-apiserver: tools/kubernetes/go.mod tools/kubernetes/go.sum
	@tools/patiently.sh "building kube-apiserver from the Go module proxy (7 CPU minutes the first time)" \
	  env CGO_ENABLED=0 go -C $(<D) build -trimpath -ldflags "-s -w" -o ../../$(@D)/ tool
	@touch $@

# All that the distribution is compiled from: the root module without tests and without programs of its own.
SOURCES := $(shell find . \( -name _build -o -name .cache -o -name .git -o -path ./cmd -o -path ./test -o -path ./tools \) -prune \
  -o -type f \( -name '*.go' -o -name '*.o' \) ! -name '*_test.go' -print)

$(DISTRIBUTION): builder-config.yaml go.mod go.sum bin/builder $(SOURCES)
	@tools/patiently.sh "building otelcol-etcd with ocb (three CPU minutes the first time)" bin/builder --config builder-config.yaml >&2
	@touch $@
