#!/bin/bash
# Trains both models of the general recipe on one GPU, from files that `make` built on any machine before:
#
#   recipes/limrank_mini/on_gpu.sh RUNS [GPU]
#
# RUNS holds mini-ce/model, scored.jsonl, evidence.jsonl, calibration/ids.txt and base/ (recipe.mk), and a copy of MedQuAD's
# exclude_from_training.txt. GPU is a kind that `limrank plan` knows (h200). First the plan from the models' shapes is printed;
# then both trainings run, each for its share of MINUTES (10), in the run folders and with the settings of `make`: what a leg
# leaves undone is resumed by the same command, or by `make` on any other machine, which also writes own traces, fits
# temperatures and packages. Nothing is downloaded.
#
# PYTHON: the interpreter of the environment (python). DEV: folder of the general data, to score each leg's end; unset: no
# score. CE_FLAGS, SFT_FLAGS: more flags of `limrank-train`.
set -euo pipefail
runs=$1 gpu=${2:-h200}
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python}
minutes=${MINUTES:-10}
minilm=${MINILM:-$("$python" -m recipes.limrank_mini minilm)}
export TOKENIZERS_PARALLELISM=false

finished() { grep -qs '"ended": "finished"' "$runs/$1/legs.jsonl"; }
both() { finished mini-ce-general && finished mini-general; }
done_message='Both are trained; make goes on from here.'
if both; then echo "$done_message"; exit 0; fi

dev=()
if [ -n "${DEV:-}" ]; then dev=(--dev "$DEV" --dev-candidates "$DEV/candidates_bm25_dev.trec"); fi

groups=$(($(wc -l < "$runs/scored.jsonl") - 1)) records=$(($(wc -l < "$runs/evidence.jsonl") - 1))
plan() { "$python" -m app.cli plan --gpu "$gpu" --no-gradient-checkpointing "$@"; }
plan --base "$runs/mini-ce/model" --kind cross-encoder --examples $((groups * 6)) --tokens 200 --max-tokens 384 --batch 48 --device-batch 48
plan --base "$runs/base" --kind sft --examples "$records" --tokens 320 --max-tokens 640 --batch 16 --device-batch 16 --rank 32

# train NAME SHARE COMMAND...: one leg of a run, unless it is finished.
train() {
  local name=$1 share=$2
  shift 2
  if finished "$name"; then echo "$runs/$name is finished."; return; fi
  "$python" -m trainer.train "$@" --folder "$runs/$name" --config "$here/configs/limrank-$name.yaml" "${dev[@]}" \
    --leg-minutes "$(awk "BEGIN { print $minutes * $share }")"
}

# Half a minute in ten is left for starting and for dev scores.
train mini-ce-general 0.35 cross-encoder --data "$runs/scored.jsonl" --base "$runs/mini-ce/model" --bi-encoder "$minilm" --device-batch 8 \
  --exclude "$runs/exclude_from_training.txt" ${CE_FLAGS:-}
train mini-general 0.6 sft --data "$runs/evidence.jsonl" --base "$runs/base" --device-batch 16 \
  --exclude "$runs/calibration/ids.txt" ${SFT_FLAGS:-}

if both; then echo "$done_message"; exit 0; fi
echo 'Not all is trained; the same command goes on with it.'
exit 3
