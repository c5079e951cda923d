# How limrank-mini and limrank-mini-ce are trained and measured; part of the Makefile, whose variables it uses.

.PHONY: train-mini train-mini-ce train-mini-medquad train-mini-general train-mini-ce-medquad train-mini-ce-general \
  eval-mini measure-mini eval-adaptive eval-cascade listed-measured

RECIPE := recipes/limrank_mini

# Runs are stored outside the repository. Each rule below runs one leg and resumes where the last one ended.
RUNS ?= ../limrank-runs
MEDQUAD ?= $(DATA)/medquad
GENERAL ?= $(DATA)/general
DEV = --dev $(MEDQUAD) --dev-candidates $(MEDQUAD)/candidates_$(1)_dev.trec --exclude $(MEDQUAD)/exclude_from_training.txt

.PHONY: data
data:
	@test -n "$(DATA)" || { echo 'Say where the data is: DATA=path, a folder that holds medquad/, general/ and dl19/ (GENERAL=path and MEDQUAD=path name others).'; exit 2; }

# PROCESSES=n trains in n processes, on as many GPUs or with an equal share of the CPU's cores. A process that must stop has
# half an hour for its checkpoint and its dev score; torch's launcher would allow 30 seconds, and one thread.
TRAINER = OMP_WAIT_POLICY=PASSIVE $(if $(PROCESSES),$(TOGETHER) -m trainer.train,$(BIN)/limrank-train)
TOGETHER = OMP_NUM_THREADS=$${OMP_NUM_THREADS:-$$(( ($$(nproc) + $(PROCESSES) - 1) / $(PROCESSES) ))} \
  $(BIN)/python -m torch.distributed.run --standalone --nproc-per-node=$(PROCESSES) --shutdown-timeout=1800
SFT = $(TRAINER) sft --base $(RUNS)/base $(call DEV,bm25)

# The folder for the result, if it is better than the model there.
WEIGHTS ?= service/weights

# Which recipe made what ships: medquad, or general (general text and MedQuAD, for limrank-mini-ce behind medquad).
MINI_RECIPE ?= medquad
MINI_CE_RECIPE ?= general

train-mini: train-mini-$(MINI_RECIPE)  ## train limrank-mini and package it; DATA=folder of medquad/ (and general/, or GENERAL=folder), LEG=n goes on, PROCESSES=2 TRAIN="--device-batch 4", WEIGHTS=folder, MINI_RECIPE=general

train-mini-ce: train-mini-ce-$(MINI_CE_RECIPE)  ## train limrank-mini-ce and package it; as train-mini; MINI_CE_RECIPE=medquad: its first part alone, not packaged

train-mini-medquad: data $(RUNS)/mini-near/whole
	$(BIN)/limrank-train package --folder $(RUNS)/mini-near --weights $(WEIGHTS) --name limrank-mini

# It is the base of what ships, and its dev score is of other data.
train-mini-ce-medquad: data $(RUNS)/mini-ce/complete
	@echo 'limrank-serve --model $(RUNS)/mini-ce/model serves it.'

# The dev scores of the two recipes are of different data, so the better one cannot be told from them.
train-mini-general: data $(RUNS)/mini-general-own/whole
	$(BIN)/limrank-train package --folder $(RUNS)/mini-general-own --weights $(WEIGHTS) --name limrank-mini --even-if-worse

train-mini-ce-general: data $(RUNS)/mini-ce-general/complete  ## train limrank-mini-ce on general/ and medquad/ and package it; DATA=folder of both
	$(BIN)/limrank-train package --folder $(RUNS)/mini-ce-general --weights $(WEIGHTS) --name limrank-mini-ce --even-if-worse

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
# RUN/merged is for limrank-eval and the service. It is merged twice, because its card states the temperatures.
merge-run = $(BIN)/limrank-train merge --base $(RUNS)/base --adapter $(@D)/adapter --out $(@D)/merged --dtype float32
# $(1) names the data and the sample that the temperatures are fitted on.
measure-run = for mode in direct reasoning; do $(BIN)/limrank-eval calibrate --model $(@D)/merged --mode $$mode \
  --dtype bfloat16 --concurrency 10 --pairs 100 --fit-split train $(1) --out $(@D)/calibration || exit; done

$(RUNS)/mini-near/measured: $(RUNS)/mini-near/complete
	$(merge-run)
	$(call measure-run,--data $(MEDQUAD) --max-tokens-per-doc 112 --fit-pairs $(or $(FIT),1000))
	@touch $@

$(RUNS)/mini-general-own/measured: $(RUNS)/mini-general-own/complete
	$(merge-run)
	$(call measure-run,--benchmark beir --data $(RUNS)/calibration --max-tokens-per-doc 224 --fit-pairs $(or $(FIT),1000))
	@touch $@

.PRECIOUS: %/calibrated  # make would remove it behind `whole`
%/calibrated: %/measured
	$(BIN)/limrank-train calibrate --weights $(@D)/adapter \
	  --results "$$(echo $(@D)/calibration/*/*/calibration.json | tr ' ' ,)" && touch $@

%/whole: %/calibrated
	$(merge-run)
	@touch $@

MINILM = "$$($(BIN)/python -m recipes.limrank_mini minilm)"

$(RUNS)/mini-ce/complete: $(RUNS)/groups.jsonl
	$(call run-leg,$(TRAINER) cross-encoder --data $(RUNS)/groups.jsonl --base $(MINILM) \
	  $(call DEV,minilm) $(if $(filter medquad,$(MINI_CE_RECIPE)),$(if $(LEG),--leg $(LEG))))

# The general recipe. The cross-encoder's groups carry a bi-encoder's similarities beside the labels.
$(RUNS)/scored.jsonl: $(RUNS)/groups.jsonl
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m recipes.limrank_mini.general $(DATA) $@ --general $(GENERAL) --encoder $(MINILM) \
	  --medquad $(RUNS)/groups.jsonl --vectors $(RUNS)/vectors $(SCORED)

# It goes on from MedQuAD's cross-encoder, beside which MiniLM stays. LEG counts the legs of this last run.
$(RUNS)/mini-ce-general/complete: $(RUNS)/scored.jsonl $(RUNS)/mini-ce/complete
	$(call run-leg,$(TRAINER) cross-encoder --data $(RUNS)/scored.jsonl --base $(RUNS)/mini-ce/model --bi-encoder $(MINILM) --dev $(GENERAL) \
	  --dev-candidates $(GENERAL)/candidates_bm25_dev.trec --exclude $(MEDQUAD)/exclude_from_training.txt $(if $(LEG),--leg $(LEG)))

# limrank-mini's runs: on records of both modes whose traces quote their evidence, then on traces that it writes itself. Some
# train queries of both sets are kept out, to fit the temperatures on.
GENERAL_SFT = $(TRAINER) sft --base $(RUNS)/base --exclude $(RUNS)/calibration/ids.txt --dev $(GENERAL) \
  --dev-candidates $(GENERAL)/candidates_bm25_dev.trec

$(RUNS)/calibration/ids.txt: | data $(VENV)/.dev
	$(BIN)/python -m recipes.limrank_mini calibration-set $(GENERAL) $(MEDQUAD) $(@D) --excluded $(MEDQUAD)/exclude_from_training.txt

$(RUNS)/evidence.jsonl: $(RUNS)/scored.jsonl $(RUNS)/base
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m recipes.limrank_mini.evidence $(GENERAL) $@ --groups $(RUNS)/scored.jsonl \
	  --medquad $(RUNS)/records.jsonl --tokenizer $(RUNS)/base/tokenizer.json --encoder $(MINILM) --cache $(RUNS)/vectors $(EVIDENCE)

$(RUNS)/mini-general/complete: $(RUNS)/evidence.jsonl $(RUNS)/calibration/ids.txt
	$(call run-leg,$(GENERAL_SFT) --data $(RUNS)/evidence.jsonl $(if $(LEG),--leg $(LEG)))

$(RUNS)/general-own.jsonl: $(RUNS)/mini-general/complete
	$(BIN)/limrank-train merge --base $(RUNS)/base --adapter $(RUNS)/mini-general/adapter --out $(RUNS)/mini-general/merged --dtype float32
	OMP_WAIT_POLICY=PASSIVE $(BIN)/limrank-train own-traces --model $(RUNS)/mini-general/merged --dtype bfloat16 --out $@ \
	  --data $(RUNS)/evidence.jsonl --exclude $(RUNS)/calibration/ids.txt --sample $(or $(OWN),4000) --seed 11 --passage-tokens 224

$(RUNS)/mini-general-own/complete: $(RUNS)/general-own.jsonl
	$(call run-leg,$(GENERAL_SFT) --data $(RUNS)/general-own.jsonl --adapter $(RUNS)/mini-general/adapter)

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

measure-mini: data $(VENV)/.dev  ## measure a model against the targets on general text, DL19, MedQuAD and everyday questions; DATA=folder, MEASURE="--model limrank-mini --mode reasoning"
	$(BIN)/python -m recipes.limrank_mini measure --data $(DATA) --general $(GENERAL) --dtype bfloat16 --out $(or $(OUT),out/measure-mini) \
	  $(or $(MEASURE),--model limrank-mini-ce --max-tokens-per-doc 256)

eval-adaptive: data $(VENV)/.dev  ## whether reasoning pays for limrank-mini, on MedQuAD; DATA=folder of medquad/, ADAPTIVE="--queries 200"
	$(BIN)/limrank-eval adaptive --model limrank-mini --data $(DATA)/medquad --first-stage bm25 \
	    --out $(or $(OUT),out/eval-adaptive) $(ADAPTIVE)

eval-cascade: data $(VENV)/.dev  ## limrank-mini-ce before limrank-mini, on MedQuAD; DATA=folder of medquad/, CASCADE="--queries 200"
	$(BIN)/limrank-eval cascade --first limrank-mini-ce --model limrank-mini --data $(DATA)/medquad --first-stage minilm \
	    --out $(or $(OUT),out/eval-cascade) $(CASCADE)

listed-measured: data $(RUNS)/groups.jsonl  ## pointwise, setwise and listwise models trained on the same MedQuAD groups, side by side; DATA=folder, LISTED="--count 600 --queries 60"
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m bench.programs.listed_bench --groups $(RUNS)/groups.jsonl --data $(MEDQUAD) --bi-encoder $(MINILM) \
	  --folder $(or $(OUT),out/listed) $(LISTED)
