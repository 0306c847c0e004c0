# The README's commands. `make` alone lists them.

CARGO ?= cargo
BIN := target/release/sidestep
# Seconds and rounds of `make bench-wrk` and `make bench-flood`.
SECONDS_EACH ?= 3
ROUNDS ?= 5

# Namespaces and AF_XDP need root: what runs, not what is built, gets it from sudo.
ifneq ($(shell id -u),0)
ifneq ($(shell command -v sudo),)
SUDO := sudo
TRIPLE := $(shell rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
export CARGO_TARGET_$(TRIPLE)_RUNNER := sudo -E
endif
endif

.DEFAULT_GOAL := help
.PHONY: help nginx lwip setup build test interop demo bench-wrk bench-wire bench-engine bench-connections \
	bench-syn bench-flood bench-recovery gate lint loom fmt doc clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what building, testing and the demo need (Debian, Ubuntu)
	deploy/setup.sh

build: ## Build the release program: target/release/sidestep
	$(CARGO) build --release

test: ## Run every test; those that need root or AF_XDP say when they are skipped
	$(CARGO) test --workspace --no-fail-fast

demo: setup build ## Compare AF_XDP with kernel sockets under wrk, side by side (root)
	$(SUDO) $(BIN) demo

interop: ## Talk to the Linux kernel in all 384 combinations of options and links (root)
	SIDESTEP_INTEROP=full $(CARGO) test --test interop -- --nocapture the_kernel

bench-wrk: setup build ## The README's table: medians of interleaved rounds under wrk (root)
	$(CARGO) build --release -p sidestep-bench --bin responder
	$(SUDO) $(BIN) demo --compare --seconds $(SECONDS_EACH) --rounds $(ROUNDS)

# A peer of `bench-wire`: unpacked, not installed, so that no service is started.
nginx: target/nginx/usr/sbin/nginx
target/nginx/usr/sbin/nginx:
	mkdir -p target/nginx
	cd target/nginx && apt-get download nginx && dpkg -x nginx_*.deb .

bench-wire: ## Servers over a veth pair under `sidestep load`: short, or ARGS=--full (root)
	-$(MAKE) nginx
	$(CARGO) build --release -p sidestep -p sidestep-bench --bin sidestep --bin responder --bin smoltcp-server --bin bench-wire
	$(SUDO) target/release/bench-wire $(ARGS)

# A peer of `bench-engine`: its sources, which that package's build script compiles if they are there.
lwip: target/lwip/src/core/tcp.c
target/lwip/src/core/tcp.c:
	bench/lwip/fetch.sh

bench-engine: ## The engine in one process, beside its stateless limit, smoltcp and lwIP
	-$(MAKE) lwip
	$(CARGO) run --release -p sidestep-bench --bin bench-engine
	$(CARGO) run --release -p sidestep-bench --bin bench-bulk

bench-connections: ## Ten million connections in one process: bytes and time for each (4.5 GB)
	$(CARGO) run --release -p sidestep-bench --bin bench-connections

bench-recovery: ## Draw goodput, fairness and windows of simulated transfers: target/bench-recovery/
	$(CARGO) run --release -p sidestep-bench --bin bench-recovery

bench-flood: setup build ## Honest clients while the server is flooded: cookies in the driver and Linux's (root)
	$(SUDO) $(BIN) demo --flood --seconds $(SECONDS_EACH) --rounds $(ROUNDS)

bench-syn: ## SYN cookies: a SYN answered in the driver, 24 million guesses refused (root)
	$(CARGO) run --release -p sidestep-bench --bin bench-syn

# Without lwIP, wherever its sources are: another application in the program moves counts by 3 %.
gate: ## Fail if requests or handshakes take over 3 % more instructions (UPDATE=1 accepts them)
	LWIP_DIR=/nonexistent $(CARGO) run --release -p sidestep-bench --bin bench-engine -- gate $(if $(UPDATE),--update)

lint: ## Check formatting, clippy and rustdoc, warnings as errors
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --all-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --all-features

loom: ## Try every interleaving of what threads share in the handshake and its orders
	RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom $(CARGO) test \
		--no-default-features --features runtime --lib loom_

fmt: ## Format the code
	$(CARGO) fmt --all

doc: ## Build the documentation: target/doc/sidestep/index.html
	$(CARGO) doc --workspace --no-deps --all-features

clean: ## Remove what was built
	$(CARGO) clean
