"""LoRA on a causal model (Hu et al. 2021, arXiv 2106.09685). The only file of the trainer that imports peft."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch.distributed.tensor import DTensor
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from contract.truncation import table_rows
from trainer.errors import BadBase, BadSettings

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"


def load_base(base: Path, weights: str = "float32") -> Any:
    """Loads the causal model in a folder, with `weights` in float32, bfloat16 or 4bit (NF4, on the GPU where there is
    one). Raises BadBase when it cannot be loaded, BadSettings without bitsandbytes."""
    if not (base / "config.json").is_file():
        raise BadBase(f"{base} has no config.json, so it is not a model folder; correct --base.")
    how: dict[str, Any] = _in_four_bits() if weights == "4bit" else {"dtype": getattr(torch, weights)}
    try:
        return AutoModelForCausalLM.from_pretrained(base, local_files_only=True, trust_remote_code=False, **how)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise BadBase(f"{base} cannot be loaded as a causal model: {str(error).splitlines()[0]}") from error


def _in_four_bits() -> dict[str, Any]:
    """Dettmers et al. 2023, arXiv 2305.14314: NF4, whose constants are quantised again."""
    if importlib.util.find_spec("bitsandbytes") is None:
        raise BadSettings(
            "--base-weights 4bit needs bitsandbytes (in the project's folder: pip install '.[qlora]'); bfloat16 does "
            "not."
        )
    config = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    device = torch.cuda.current_device() if torch.cuda.is_available() else "cpu"
    return {"quantization_config": config, "dtype": torch.bfloat16, "device_map": {"": device}}


def base_bytes(model: PeftModel) -> int:
    """Bytes of the weights that are not trained, as they are stored."""
    frozen = (weight for weight in model.parameters() if not weight.requires_grad)
    return sum(weight.numel() * weight.element_size() for weight in frozen)


def parameter_counts(model: PeftModel) -> tuple[int, int]:
    """How many parameters there are, and how many of them are trained; packed ones count as many as they stand for."""
    trained, every = model.get_nb_trainable_parameters()
    return int(every), int(trained)


def check_positions(model: Any, base: Path, tokens: int) -> None:
    """Raise BadBase where the base has a table of positions with no row for the last of so many tokens."""
    rows = table_rows(model)
    if rows is not None and tokens > rows:
        raise BadBase(
            f"{base} has positions for {rows} tokens, and the longest sequence has {tokens}; lower --max-tokens."
        )


def add_lora(model: Any, *, rank: int, alpha: int, dropout: float, seed: int) -> PeftModel:
    """Adds new LoRA matrices to every linear layer except the output; only they are trained."""
    torch.manual_seed(seed)
    config = LoraConfig(
        r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    return get_peft_model(model, config)


def load_lora(model: Any, adapter: Path, *, trainable: bool = False) -> PeftModel:
    """Loads the adapter in a folder onto the model. Raises BadBase when they do not match."""
    if missing := [name for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS) if not (adapter / name).is_file()]:
        raise BadBase(f"{adapter} has no {missing[0]}, so it is not an adapter's folder; correct the path.")
    try:
        tuned = PeftModel.from_pretrained(model, str(adapter), is_trainable=trainable, local_files_only=True)
        # Otherwise peft looks up the base's name on the hub whenever a checkpoint is saved.
        tuned.peft_config["default"].base_model_name_or_path = model.name_or_path
        _check_all_used(tuned, adapter)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        lines = " ".join(line.strip() for line in str(error).splitlines()[:2])
        raise BadBase(f"The adapter {adapter} does not fit its base: {lines}") from error
    return tuned


def where_it_is_fast(model: Any) -> Any:
    """Moves the model to a GPU with room for it twice, because computing needs memory too."""
    size = sum(weight.numel() * weight.element_size() for weight in model.parameters())
    roomy = torch.cuda.is_available() and torch.cuda.mem_get_info()[0] > 2 * size
    return model.to("cuda") if roomy else model


def lora_config(model: PeftModel) -> Any:
    """The adapter's config: rank (`r`), scale (`lora_alpha`) and layers."""
    return model.peft_config["default"]


def go_back(model: PeftModel, adapter: Path, kept: float) -> None:
    """Interpolates the adapter's weights: `kept` of the way from those in the folder to the current ones.

    The gains and the losses of training rarely grow equally along this line (WiSE-FT, Wortsman et al. 2022, arXiv
    2109.01903). Interpolates both factors of each matrix, not their product.
    """
    before = load_file(adapter / ADAPTER_WEIGHTS)
    for name, now in get_peft_model_state_dict(model, save_embedding_layers=False).items():
        now.detach().copy_(torch.lerp(before[name].to(now), now.detach(), kept))


def adapter_weights(model: PeftModel) -> dict[str, torch.Tensor]:
    """The weights of the whole adapter, without the base's. When they are sharded, every process must call this."""
    found = get_peft_model_state_dict(model, save_embedding_layers=False)
    return {name: _whole(weight.detach()) for name, weight in found.items()}


def save_lora(
    model: PeftModel, folder: Path, *, weights: Mapping[str, torch.Tensor], base_name: str, dtype: torch.dtype
) -> None:
    """Writes adapter_config.json and the result of `adapter_weights`. Raises BadBase when that is empty."""
    if not weights:
        raise BadBase(f"No LoRA weights are found in the trained {base_name}, so {folder} is not written.")
    config = lora_config(model)
    config.base_model_name_or_path = base_name
    config.inference_mode = True
    config.target_modules = sorted(config.target_modules)  # a set, whose order differs between processes
    config.save_pretrained(str(folder))
    stored = {name: weight.to("cpu", dtype).contiguous() for name, weight in weights.items()}
    save_file(stored, folder / ADAPTER_WEIGHTS, metadata={"format": "pt"})


def _whole(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def _check_all_used(model: PeftModel, adapter: Path) -> None:
    """Raises ValueError when peft ignored tensors of the file, because the model would then differ from the trained
    one."""
    with safe_open(adapter / ADAPTER_WEIGHTS, framework="pt") as file:
        stated = set(file.keys())
    used = set(get_peft_model_state_dict(model, save_embedding_layers=False))
    if stated != used:
        raise ValueError(f"the tensors {', '.join(sorted(stated ^ used)[:2])} ... stand only on one side.")


@contextmanager
def merged(model: Any) -> Iterator[None]:
    """Merges the adapter into the base for the duration of the block, so that a forward pass costs no more than the
    base's.

    Afterwards the base's weights are as before, up to float32 rounding; the adapter's are never changed.
    """
    model.merge_adapter()
    try:
        yield
    finally:
        model.unmerge_adapter()
