"""The files with which Sentence Transformers loads one of our cross-encoders and reproduces our scores.

    modules.json                        the network, then a layer that divides by the temperature
    sentence_bert_config.json           passes pairs of text to the network without a chat template
    config_sentence_transformers.json   sigmoid activation, no prompts; overrides the base model's own file
    1_Dense/                            the dividing layer: one weight, absent when the temperature is 1

`CrossEncoder(folder).predict` then returns our relevance or, with an identity activation, our log-odds. Sentence
Transformers 5.4 and later read these files; older versions load only the network and return log-odds times temperature.
With a bi-encoder beside the network they need `retrieval.similarity_bert.register` first.
"""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path
from typing import Any

from contract.files import write_text

MODULES = "modules.json"
_DENSE = "1_Dense"
_MODULES = "sentence_transformers.base.modules"
_IDENTITY = "torch.nn.modules.linear.Identity"
_SIGMOID = "torch.nn.modules.activation.Sigmoid"
_SCORES = "scores"


def write_cross_encoder_files(folder: Path, temperature: float) -> None:
    """Writes the files beside the weights and overwrites existing ones."""
    modules = [_module(0, "", "transformer.Transformer")]
    if temperature == 1.0:
        shutil.rmtree(folder / _DENSE, ignore_errors=True)
    else:
        modules.append(_module(1, _DENSE, "dense.Dense"))
        _write_dense(folder / _DENSE, 1.0 / temperature)
    _write(folder / MODULES, modules)
    text = {"method": "forward", "method_output_name": "logits"}
    _write(
        folder / "sentence_bert_config.json",
        {
            "transformer_task": "sequence-classification",
            "modality_config": {"text": text},
            "module_output_name": _SCORES,
        },
    )
    _write(
        folder / "config_sentence_transformers.json",
        {"model_type": "CrossEncoder", "activation_fn": _SIGMOID, "prompts": {}, "default_prompt_name": None},
    )


def _module(index: int, path: str, kind: str) -> dict[str, Any]:
    return {"idx": index, "name": str(index), "path": path, "type": f"{_MODULES}.{kind}"}


def _write_dense(folder: Path, weight: float) -> None:
    folder.mkdir(exist_ok=True)
    _write(
        folder / "config.json",
        {
            "in_features": 1,
            "out_features": 1,
            "bias": False,
            "activation_function": _IDENTITY,
            "module_input_name": _SCORES,
            "module_output_name": _SCORES,
        },
    )
    (folder / "model.safetensors").write_bytes(_safetensors("linear.weight", weight))


def _safetensors(name: str, value: float) -> bytes:
    """A safetensors file with one float32 tensor of shape (1, 1): header length, header, data."""
    header = json.dumps({name: {"dtype": "F32", "shape": [1, 1], "data_offsets": [0, 4]}}).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + struct.pack("<f", value)


def _write(path: Path, content: object) -> None:
    write_text(path, json.dumps(content, indent=2) + "\n")
