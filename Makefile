# Every chore. `make help` lists them.

SHELL := /bin/bash
export PATH := $(or $(PATH),/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)
BIN := .venv/bin
# Compiled at once: where PYTHONDONTWRITEBYTECODE is set, every start would compile all of Numba's sources once more.
UV := $(BIN)/uv --system-certs pip install --quiet --compile-bytecode --python $(BIN)/python
LOCK := --require-hashes --no-deps -r
.DEFAULT_GOAL := help

.PHONY: help
help:  ## this list
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / { printf "  make %-21s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Stamps: an environment is made again when what it is made from has changed.
.venv/.bootstrap: requirements/bootstrap.txt
	@echo "creating .venv"
	@test -x $(BIN)/python || python3 -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(LOCK) requirements/bootstrap.txt
	@touch $@

.venv/.gateway: .venv/.bootstrap requirements/gateway.txt setup.cfg
	@echo "installing the gateway"
	@$(UV) $(LOCK) requirements/gateway.txt
	@$(UV) --no-deps --no-build-isolation -e .
	@touch $@

.venv/.test: .venv/.gateway requirements/test.txt requirements/triton.txt
	@echo "installing exporters, clients, test tools and a real Triton (TensorFlow is among them: half a gigabyte)"
	@$(UV) $(LOCK) requirements/test.txt
	@$(UV) $(LOCK) requirements/triton.txt
	@touch $@

.PHONY: run
run: .venv/.gateway  ## start the gateway, score examples/employees.csv over gRPC, go on serving until Ctrl-C
	@exec 3< <(exec $(BIN)/epm serve); gateway=$$!; trap 'wait $$gateway; exit 0' INT TERM; \
	read -r ready grpc http <&3 || exit 1; \
	$(BIN)/epm predict examples/employees.csv --address $${grpc#grpc=} || { kill $$gateway; wait $$gateway; exit 1; }; \
	echo; echo "serving gRPC on $${grpc#grpc=}, HTTP on $${http#http=}; Ctrl-C ends it"; wait $$gateway

# Kernels as `epm warm` leaves them, and nothing else: tests hold it against what gateways then miss. Lint is called
# as `make`, not by the variable of that name: `make -n test` would carry the line out.
WARMED := $(CURDIR)/build/warmed

# All tests run where every access of compiled code is checked, and what gateways answer comes through the compiled
# listener. What a client may notice is asked once more of what is shipped: no checks, the default listener.
CHECKED := NUMBA_BOUNDSCHECK=1 EPM_LISTENER=h2
AS_SHIPPED := tests/conformance tests/faults tests/h2 $(addprefix tests/integration/test_, \
  connection_age.py metrics.py refusals.py rolling_drain.py shutdown.py signals.py start.py versions.py workers.py)

.PHONY: test
test: .venv/.test system-packages  ## lint, all tests but those marked slow, the ratios of `make gate`
	@echo "compiling all kernels meanwhile, with checks of every access and without"
	@NUMBA_BOUNDSCHECK=1 EPM_JIT_CACHE_DIR=$(WARMED) $(BIN)/epm warm > /dev/null 2>&1 & \
	EPM_JIT_CACHE_DIR=$(WARMED) $(BIN)/epm warm > /dev/null 2>&1 & \
	make --no-print-directory lint; status=$$?; wait; exit $$status
	@kept=$$($(BIN)/python -c "from serving.settings import jit_cache_root; print(jit_cache_root() or '')"); \
	test -z "$$kept" || { mkdir -p "$$kept" && cp -rn $(WARMED)/. "$$kept"; }
	$(CHECKED) WARMED=$(WARMED) $(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow and not alone"
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow and not alone" $(AS_SHIPPED)
	$(BIN)/python -m pytest -m "alone and not slow"
	$(BIN)/python -m loadtest.gate

.PHONY: test-slow
test-slow: .venv/.test system-packages  ## the tests marked slow
	$(BIN)/python -m pytest -m slow

.PHONY: conformance
conformance: .venv/.test system-packages  ## hold a server of model_repo/ to its protocol: TARGET=host:port [PROTOCOL=tf_serving|triton]
	CONFORMANCE_TARGET="$(TARGET)" CONFORMANCE_PROTOCOL="$(PROTOCOL)" CONFORMANCE_MODELS="$(MODELS)" \
	  $(BIN)/python -m pytest tests/conformance/target

.PHONY: system-packages
system-packages:
	@missing=$$(dpkg-query -W -f '$${db:Status-Status} $${Package}\n' $$(cat tests/system-packages.txt) 2>/dev/null \
	  | awk '$$1 == "installed" { print $$2 }' | grep -vxFf - tests/system-packages.txt); \
	if [ -n "$$missing" ]; then \
	  root=$$([ "$$(id -u)" = 0 ] || echo sudo); \
	  $$root apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$root apt-get install -y -qq $$missing; \
	fi

.PHONY: lint
lint: .venv/.test  ## format, lint, types, floors of the design, generated code
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python protos/generate.py --check
	$(BIN)/python -m serving.features.generate --check
	$(BIN)/python -m k8s.monitoring.generate --check

.PHONY: format
format: .venv/.test  ## put the code into shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: models
models: .venv/.test  ## train and export again what is committed in model_repo/ and examples/
	$(BIN)/epm-export train performance_model --version 1 --replace
	$(BIN)/epm-export train attrition_model --version 1 --replace
	$(BIN)/epm-export sample --out examples/employees.csv
	$(BIN)/epm-export sample --of history --out examples/months.csv
	$(BIN)/epm-export verify model_repo

.PHONY: models-quality
models-quality: .venv/.test  ## measure size, latency and quality of the published models, write their part of docs/models.md
	$(BIN)/python -m loadtest.models

.PHONY: public-data
public-data: .venv/.test  ## cross-validate the public tables of ../shared/data, write their part of docs/models.md
	$(BIN)/python -m exporters.public

# Side by side with other servers, each in an environment of its own below build/bench-envs.
PEERS := echo triton mlserver kserve
PEERS_OF_FULL := bentoml ray litserve
build/bench-envs/%/.ready: requirements/bench/%.txt .venv/.bootstrap
	@echo "installing $*"
	@$(BIN)/uv --system-certs venv --quiet --clear --python $(BIN)/python $(@D)
	@$(BIN)/uv --system-certs pip install --quiet --python $(@D)/bin/python $(LOCK) $<
	@touch $@

.PHONY: bench-envs
bench-envs: .venv/.test system-packages  ## install the servers that `make bench` compares with; one that cannot be is left out
	-@$(MAKE) --no-print-directory -k $(PEERS:%=build/bench-envs/%/.ready)

.PHONY: bench
bench: bench-envs  ## this gateway beside Triton, MLServer, KServe and an echo, kernels, batch scoring; write docs/performance.md
	$(BIN)/python -m loadtest.bench
	$(BIN)/python -m loadtest.protocols
	$(BIN)/python -m loadtest.kernels
	$(BIN)/python -m loadtest.batch
	$(BIN)/python -m loadtest.summary

.PHONY: bench-full
bench-full: bench-envs  ## more of it: 1,024 rows, 1 to 50 models, 1 and 2 workers, BentoML, Ray Serve, LitServe; write docs/full-performance.md
	-$(MAKE) -k $(PEERS_OF_FULL:%=build/bench-envs/%/.ready)
	$(BIN)/python -m loadtest.bench.full

.PHONY: loadtest
loadtest: .venv/.test  ## put a minute of locust's mixed users on a gateway, print the verdict
	$(BIN)/python -m loadtest.users $(LOADTEST)

.PHONY: capacity
capacity: .venv/.test  ## find the highest rate with p99 under a bound, draw latency against load; write docs/capacity-performance.md
	$(BIN)/python -m loadtest.capacity

.PHONY: soak
soak: .venv/.test  ## ten minutes of mixed load at 70 % of capacity: errors, memory, p99; write docs/soak-performance.md
	$(BIN)/python -m loadtest.soak

.PHONY: gate
gate: .venv/.test  ## the ratios that must not get worse, in a minute; part of `make test`
	$(BIN)/python -m loadtest.gate

.PHONY: kernels-performance
kernels-performance: .venv/.test  ## measure kernels beside their alternatives and the machine's copy bandwidth
	$(BIN)/python -m loadtest.kernels

.PHONY: batch-performance
batch-performance: .venv/.test  ## score a million rows with `epm score`, beside onnxruntime in a loop
	$(BIN)/python -m loadtest.batch

.PHONY: protocols-performance
protocols-performance: .venv/.test  ## measure the gateway's three protocols beside a bare echo; write docs/protocols-performance.md
	$(BIN)/python -m loadtest.protocols

.PHONY: listener-performance
listener-performance: bench-envs  ## measure the compiled listener beside grpc.aio and Triton; write docs/listener-performance.md
	$(BIN)/python -m loadtest.listener $(LISTENER)

.PHONY: listener-fuzz
listener-fuzz: .venv/.test system-packages  ## a million random and broken requests: the same answers by both listeners? docs/listener-fuzz.md
	$(BIN)/python -m loadtest.listener.fuzz --requests $(or $(REQUESTS),1000000) $(if $(SEED),--seed $(SEED))

.PHONY: listener-soak
listener-soak: .venv/.test system-packages  ## ten minutes of clients that misbehave beside clients that do not; docs/listener-soak.md
	$(BIN)/python -m loadtest.listener.soak --minutes $(or $(MINUTES),10)

.PHONY: telemetry-performance
telemetry-performance: .venv/.test  ## measure what metrics cost; write docs/telemetry-performance.md
	$(BIN)/python -m loadtest.telemetry

.PHONY: features-performance
features-performance: .venv/.test  ## measure feature programs beside pandas, scikit-learn, polars; write docs/features-performance.md
	$(BIN)/python -m loadtest.features

.PHONY: store-performance
store-performance: .venv/.test system-packages  ## measure predictions by id and bulk loading; write docs/store-performance.md
	$(BIN)/python -m loadtest.store

.PHONY: backends-performance
backends-performance: .venv/.test  ## measure backends, batching, kept predictions side by side; write docs/backends-performance.md
	$(BIN)/python -m loadtest.backends

.PHONY: coverage
coverage: .venv/.test system-packages  ## tests with coverage
	$(BIN)/coverage run -m pytest -m "not slow" && $(BIN)/coverage report

.PHONY: proto
proto: .venv/.test  ## generate serving/stubs from protos/
	$(BIN)/python protos/generate.py

.PHONY: operations
operations: .venv/.test  ## generate the dispatch of operations and their page from the table
	$(BIN)/python -m serving.features.generate

.PHONY: monitoring
monitoring: .venv/.test  ## generate the PrometheusRule and the dashboards of k8s/monitoring from their sources
	$(BIN)/python -m k8s.monitoring.generate

.PHONY: dashboards-pictures
dashboards-pictures: .venv/.test system-packages  ## draw every panel from a real run: gateway, Redis, Triton, Prometheus; write docs/images
	$(BIN)/python -m k8s.monitoring.draw

.PHONY: images
images:  ## build both container images without a Docker engine and run them closed: root, buildah, podman, runc, debootstrap
	k8s/try_images.sh

.PHONY: locks
locks: .venv/.bootstrap  ## resolve requirements/*.txt again, under requirements/pins.in
	$(BIN)/python requirements/lock.py

.PHONY: clean
clean:  ## remove everything that was made here
	rm -rf .venv build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage local_repo
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
