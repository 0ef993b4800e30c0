# Every recipe hands over to xtask; `make` lists them.
export CARGO_TARGET_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/plenum/target
XTASK = $(CARGO_TARGET_DIR)/$$(rustc -vV | sed -n 's/^host: //p')/debug/xtask

.DEFAULT_GOAL := help
.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z][a-z0-9-]*:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

.PHONY: rust
rust:
	@command -v cargo >/dev/null || { echo "Rust is missing: install it from https://rustup.rs (rust-toolchain.toml names the version)" >&2; exit 1; }
	@command -v cc >/dev/null || { echo "A C compiler is missing: apt-get install -y build-essential" >&2; exit 1; }
	@# Cargo tells files by their time, not by their checkout: what another one left here must not pass for this one's.
	@stamp=$(CARGO_TARGET_DIR)/checkout; [ "$$(cat $$stamp 2>/dev/null)" = "$(CURDIR)" ] || { mkdir -p $(CARGO_TARGET_DIR) && \
	  rm -rf $(CARGO_TARGET_DIR)/*/*/.fingerprint/plenum* $(CARGO_TARGET_DIR)/*/*/.fingerprint/xtask* && echo "$(CURDIR)" >$$stamp; }
	@cargo build --locked --workspace --bin xtask # --package would build its dependencies with other features, once more

.PHONY: up
up: rust ## Start a Kubernetes (or use KUBECONFIG), install Plenum, open a room and print its URL
	@$(XTASK) up

.PHONY: down
down: rust ## Remove what `make up` made
	@$(XTASK) down

.PHONY: test
test: rust ## Everything: check, unit tests, cluster tests, fuzz targets for some seconds, browsers on a real cluster
	@$(XTASK) test

.PHONY: check
check: rust ## Format, clippy, generated files, tidy, licences
	@$(XTASK) check

.PHONY: fmt
fmt: ## Format the Rust and Go code
	@cargo fmt --all
	@if command -v gofmt >/dev/null; then gofmt -w cluster e2e/foreign; fi

.PHONY: unit
unit: rust ## Unit tests of the Rust workspace
	@$(XTASK) unit

.PHONY: cluster-test
cluster-test: rust ## Tests of the embedded Kubernetes
	@$(XTASK) cluster-test

.PHONY: e2e
e2e: rust ## Browser and API tests on a cluster of their own (FILTER=name runs some, KEEP=1 leaves the cluster)
	@$(XTASK) e2e $(if $(KEEP),--keep) $(FILTER)

.PHONY: registry-test
registry-test: rust ## `make up` and `make down` on another cluster, with images from a private registry
	@$(XTASK) registry-test

.PHONY: charts
charts: rust ## Lint the charts and check what they render
	@$(XTASK) charts

.PHONY: fuzz
fuzz: rust ## Fuzz every parser (SECONDS_EACH=300, TARGET=name for one)
	@$(XTASK) fuzz --seconds $(or $(SECONDS_EACH),300) $(TARGET)

.PHONY: bench-ready
bench-ready: rust ## Rooms per second: apply to Ready, p50 and p99, beside the raw write rate of the API server
	@$(XTASK) bench-ready

.PHONY: bench-turn
bench-turn: rust ## What relaying costs: CPU per packet, CPU and memory per allocation, beside coturn and a bare forwarder (ROUNDS=5)
	@$(XTASK) bench-turn $(if $(ROUNDS),--rounds $(ROUNDS))

.PHONY: bench-turn-flood
bench-turn-flood: rust ## Calls over a TURN node while 100,000 forged requests a second come in, in namespaces of their own
	@$(XTASK) bench-turn-flood

.PHONY: tools
tools: rust ## Install what the other targets need
	@$(XTASK) tools

.PHONY: images
images: rust ## Build the container images (and push them when IMAGE_REGISTRY is set)
	@$(XTASK) images

.PHONY: crds
crds: rust ## Write crds/ and the chart's copies from the Rust types
	@$(XTASK) crds

.PHONY: tidy
tidy: rust ## File sizes, orphaned files, arrows between crates, examples
	@$(XTASK) tidy

.PHONY: clean-cache
clean-cache: rust ## Delete the caches (builds, images, tools); clusters must be down
	@$(XTASK) clean-cache
