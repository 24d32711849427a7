# Every target prints what it runs. `make` alone lists them.
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
GO ?= go
FUZZTIME ?= 300000x
FAULTS_DURATION ?= 5m
FAULTS_FLAGS ?=
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
GENERATED := operator/api/v1alpha1/zz_generated.deepcopy.go config/crd/chatcluster.dev_chatclusters.yaml config/rbac/role.yaml \
	charts/*/README.md charts/*/files charts/chatcluster/values.schema.json

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build the commands into bin/
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/ ./cmd/...

.PHONY: run
run: ## Run the server
	$(GO) run ./cmd/chatd

.PHONY: images
images: ## Build the container images for IMAGE_PLATFORMS
	VERSION=$(VERSION) config/images/build

.PHONY: deps
deps: ## Install what the tests need besides Go
	test/deps/install

.PHONY: test
test: deps ## Run all tests, under the race detector, with a real Kafka, Cassandra and API server
	KUBEBUILDER_ASSETS=$$(test/deps/envtest) $(GO) run ./test/backends/run $(GO) test -race -shuffle=on -count=1 -timeout 20m ./...

.PHONY: generate
generate: ## Make the deepcopy functions, the CRD, the roles, and the charts' schemas and READMEs
	$(GO) tool controller-gen object paths=./operator/api/...
	$(GO) tool controller-gen crd paths=./operator/api/... output:crd:stdout | $(GO) run ./operator/internal/manifests crd
	$(GO) tool controller-gen rbac:roleName=chat-operator paths=./operator/... output:rbac:stdout | $(GO) run ./operator/internal/manifests rbac
	$(GO) run ./operator/internal/manifests dashboard <operator/internal/resources/dashboard.json
	$$(test/deps/k8s helm-docs)/helm-docs --chart-search-root charts --log-level error

.PHONY: verify-generated
verify-generated: generate ## Check that what make generate makes is committed
	git diff --exit-code -- $(GENERATED)

.PHONY: lint
lint: verify-generated ## Check format, vet, staticcheck and what is generated
	@echo gofmt -l .; files=$$(gofmt -l .); test -z "$$files" || { echo "not formatted: $$files"; exit 1; }
	$(GO) vet ./...
	$(GO) vet -tags faults ./test/faults
	$(GO) tool staticcheck -tags faults ./test/faults
	$(GO) vet -tags charts ./test/charts
	$(GO) vet -tags e2e ./test/e2e
	$(GO) tool staticcheck ./...
	$(GO) mod tidy -diff

.PHONY: charts
charts: ## Check what the charts render, also against the schemas of several versions of Kubernetes, and the alerts
	bin=$$(test/deps/k8s helm promtool) && HELM=$$bin/helm PROMTOOL=$$bin/promtool $(GO) test -tags charts -count=1 ./test/charts
	test/charts/check

.PHONY: fuzz
fuzz: ## Fuzz every decoder with FUZZTIME inputs each
	test/deps/fuzz $(FUZZTIME)

.PHONY: crash
crash: ## Kill the server 500 times under load
	$(GO) test ./test/crash -count=1 -timeout 60m -v -args -kills=500

.PHONY: test-faults
test-faults: deps ## Break a whole cluster under load for FAULTS_DURATION
	$(GO) test -tags faults ./test/faults -count=1 -timeout 30m -v -args -faults.duration=$(FAULTS_DURATION) $(FAULTS_FLAGS)

.PHONY: demo
demo: ## Run a cluster on kind, with two users in it
	config/demo/up

.PHONY: demo-down
demo-down: ## Delete what make demo made
	config/demo/down

.PHONY: e2e
e2e: ## Run images, charts and operator on a kind cluster, under load
	$(GO) test -tags e2e ./test/e2e -run TestE2E -count=1 -timeout 120m -v

.PHONY: e2e-ingress
e2e-ingress: ## Run a ChatCluster behind the ingress controller at E2E_INGRESS, exposed as E2E_EXPOSURE says
	$(GO) test -tags e2e ./test/e2e -run TestIngress -count=1 -timeout 60m -v

.PHONY: bench-e2e
bench-e2e: ## Measure a rolling update and a scale-up with 3,000 sockets on a kind cluster
	$(GO) test -tags e2e ./test/e2e -run TestMeasureSockets -count=1 -timeout 120m -v

.PHONY: bench
bench: ## Measure the server against floors of the same run
	$(GO) test ./test/bench -run "^$$" -bench . -benchtime 1x -timeout 60m -v

.PHONY: bench-operator
bench-operator: ## Measure the operator with 1, 50 and 200 ChatClusters
	KUBEBUILDER_ASSETS=$$(test/deps/envtest) $(GO) test ./operator -run "^$$" -bench ChatClusters -benchtime 1x -timeout 60m

.PHONY: bench-cluster
bench-cluster: deps ## Measure the cluster mode against bare Kafka and Cassandra clients
	$(GO) run ./test/backends/run $(GO) test ./test/benchcluster -run "^$$" -bench . -benchtime 1x -timeout 30m -v

.PHONY: check
check: lint test ## What CI runs, but for the fuzzing
