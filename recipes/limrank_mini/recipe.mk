# How limrank-mini and limrank-mini-ce are trained and measured; part of the Makefile, whose variables it uses.

.PHONY: train-mini train-mini-ce train-mini-ce-general eval-mini eval-adaptive eval-cascade

RECIPE := recipes/limrank_mini

# Runs are stored outside the repository. Each rule below runs one leg and resumes where the last one ended.
RUNS ?= ../limrank-runs
MEDQUAD = $(DATA)/medquad
DEV = --dev $(MEDQUAD) --dev-candidates $(MEDQUAD)/candidates_$(1)_dev.trec --exclude $(MEDQUAD)/exclude_from_training.txt

.PHONY: data
data:
	@test -n "$(DATA)" || { echo 'Say where the data is: DATA=path, a folder that holds medquad/ and dl19/.'; exit 2; }

# PROCESSES=n trains in n processes, on as many GPUs or with an equal share of the CPU's cores. A process that must stop has
# half an hour for its checkpoint and its dev score; torch's launcher would allow 30 seconds, and one thread.
TRAINER = OMP_WAIT_POLICY=PASSIVE $(if $(PROCESSES),$(TOGETHER) -m trainer.train,$(BIN)/limrank-train)
TOGETHER = OMP_NUM_THREADS=$${OMP_NUM_THREADS:-$$(( ($$(nproc) + $(PROCESSES) - 1) / $(PROCESSES) ))} \
  $(BIN)/python -m torch.distributed.run --standalone --nproc-per-node=$(PROCESSES) --shutdown-timeout=1800
SFT = $(TRAINER) sft --base $(RUNS)/base $(call DEV,bm25)

# The folder for the result, if it is better than the model there.
WEIGHTS ?= service/weights

train-mini: data $(RUNS)/mini-near/whole  ## train limrank-mini and package it; DATA=folder of medquad/, LEG=n goes on, PROCESSES=2 TRAIN="--device-batch 4", WEIGHTS=folder
	$(BIN)/limrank-train package --folder $(RUNS)/mini-near --weights $(WEIGHTS) --name limrank-mini

train-mini-ce: data $(RUNS)/mini-ce/complete  ## train limrank-mini-ce and package it; as train-mini
	$(BIN)/limrank-train package --folder $(RUNS)/mini-ce --weights $(WEIGHTS) --name limrank-mini-ce

# One leg of the run in the target's folder, unless it is finished: $(1) trains.
finished = grep -qs '"ended": "finished"' $(@D)/legs.jsonl

define run-leg
	@test ! -e $@ || { echo '$(@D) was made from other data than there is now: remove it, or name another RUNS.'; exit 2; }
	$(finished) || $(1) --config $(RECIPE)/configs/limrank-$(notdir $(@D)).yaml --folder $(@D) $(TRAIN)
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

# Temperatures are fitted before the decision to package, so that a result that is not packaged is complete too:
# mini-near/merged is for limrank-eval and the service. It is merged twice, because its card states the temperatures.
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

MINILM = "$$($(BIN)/python -m recipes.limrank_mini minilm)"

$(RUNS)/mini-ce/complete: $(RUNS)/groups.jsonl
	$(call run-leg,$(TRAINER) cross-encoder --data $(RUNS)/groups.jsonl --base $(MINILM) \
	  $(call DEV,minilm) $(if $(LEG),--leg $(LEG)))

# The cross-encoder for general text: its groups carry a bi-encoder's similarities beside the labels.
GENERAL = $(DATA)/general

train-mini-ce-general: data $(RUNS)/mini-ce-general/complete  ## train limrank-mini-ce on general/ and medquad/; DATA=folder of both

$(RUNS)/scored.jsonl: $(RUNS)/groups.jsonl
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m recipes.limrank_mini.general $(DATA) $@ --encoder $(MINILM) \
	  --medquad $(RUNS)/groups.jsonl --vectors $(RUNS)/vectors $(SCORED)

$(RUNS)/mini-ce-general/complete: $(RUNS)/scored.jsonl
	$(call run-leg,$(TRAINER) cross-encoder --data $(RUNS)/scored.jsonl --base $(MINILM) --dev $(GENERAL) \
	  --dev-candidates $(GENERAL)/candidates_bm25_dev.trec --exclude $(MEDQUAD)/exclude_from_training.txt $(if $(LEG),--leg $(LEG)))

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
	$(BIN)/python -m service.models.export smollm2-135m-instruct $@

$(RUNS)/groups.jsonl: | data $(VENV)/.dev
	@mkdir -p $(RUNS)
	$(BIN)/python -m recipes.limrank_mini import $(MEDQUAD) $(RUNS)/records.jsonl --groups-out $@ \
	  --excluded $(MEDQUAD)/exclude_from_training.txt

eval-mini: data $(VENV)/.dev  ## measure limrank-mini and limrank-mini-ce; DATA=folder of medquad/ and dl19/, EVAL="--only direct"
	$(BIN)/python -m recipes.limrank_mini table --data $(DATA) --out $(or $(OUT),out/eval-mini) $(EVAL)

eval-adaptive: data $(VENV)/.dev  ## whether reasoning pays for limrank-mini, on MedQuAD; DATA=folder of medquad/, ADAPTIVE="--queries 200"
	$(BIN)/limrank-eval adaptive --model limrank-mini --data $(DATA)/medquad --first-stage bm25 \
	    --out $(or $(OUT),out/eval-adaptive) $(ADAPTIVE)

eval-cascade: data $(VENV)/.dev  ## limrank-mini-ce before limrank-mini, on MedQuAD; DATA=folder of medquad/, CASCADE="--queries 200"
	$(BIN)/limrank-eval cascade --first limrank-mini-ce --model limrank-mini --data $(DATA)/medquad --first-stage minilm \
	    --out $(or $(OUT),out/eval-cascade) $(CASCADE)
