"""Loads a complete model with transformers, or fails: transformers would initialise missing weights at random."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging as transformers_logging

from cli.progress import Progress, progress
from contract.checkpoint.model_config import CONFIG, read_json_object
from service.engines.dtype import CPU, resolve_dtype
from service.errors import ModelStoreError
from service.models.weights import read_header, same_bytes, weight_files

# Tensors that files may contain in addition to the model's own: computed buffers, and heads of earlier training.
_HARMLESS = re.compile(
    r"(^|\.)(position_ids|inv_freq|masked_bias|num_batches_tracked)$"
    r"|^(\w+\.)?pooler\.|^(lm_head|cls|vocab_\w+|mask_predictions|\w*discriminator_predictions|generator_\w+)\."
)
_SHOWN = 3


def load_whole(
    auto: Any, folder: Path, advice: str, *, dtype: str = "auto", device: torch.device = CPU, **settings: Any
) -> Any:
    """Runs `auto.from_pretrained` on a folder, on the CPU. `dtype`, for `device`: see `resolve_dtype`. Runs no code
    that comes with the model.

    Raises ModelStoreError, with `advice`, for a model that transformers cannot load. Names the tensor when one is
    missing, has another shape than the configuration says, or does not belong to the model.
    """
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    # Its own handler writes plain lines; ours writes JSON.
    transformers_logging.disable_default_handler()
    transformers_logging.enable_propagation()
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        with _shown_loading():
            model, info = auto.from_pretrained(
                folder,
                dtype=resolve_dtype(dtype, folder, device),
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                **settings,
            )
    except Exception as error:  # a wrong configuration can make the library raise anything
        raise ModelStoreError(f"transformers cannot load {folder}{advice} ({first_line(error)}).") from error
    finally:
        transformers_logging.set_verbosity(verbosity)
    try:
        check_loaded(model, info, folder)
    except ModelStoreError as error:
        raise ModelStoreError(f"{str(error).rstrip('.')}{_code_of_its_own(folder)}.") from error
    return model


def _code_of_its_own(folder: Path) -> str:
    """What a model that does not fit may be missing."""
    if not read_json_object(folder / CONFIG).get("auto_map"):
        return ""
    return ", or it needs the code that comes with it (auto_map in its config.json), which is never run here"


@contextmanager
def _shown_loading() -> Iterator[Progress]:
    """Shows how far transformers is with the tensors of a model, by the loops that it would draw bars for."""
    with progress("loading_model", unit="tensors") as shown:

        def count(_: Any, args: tuple[Any, ...], settings: dict[str, Any]) -> _Counted:
            return _Counted(shown, args[0] if args else settings.get("iterable", ()))

        before = transformers_logging.set_tqdm_hook(count)
        try:
            yield shown
        finally:
            transformers_logging.set_tqdm_hook(before)


class _Counted:
    """In place of a bar around an iterable."""

    def __init__(self, shown: Progress, items: Any) -> None:
        self._shown = shown
        self._items = items
        shown.total = (shown.total or 0) + (len(items) if hasattr(items, "__len__") else 0)

    def __iter__(self) -> Iterator[Any]:
        for item in self._items:
            yield item
            self._shown.advance()

    def __enter__(self) -> _Counted:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __getattr__(self, name: str) -> Any:  # the methods of a bar, which only draw
        return lambda *_, **__: None


def check_loaded(model: Any, info: Mapping[str, Any], folder: Path) -> None:
    """Raises ModelStoreError when transformers reports missing or surplus weights."""
    if missing := sorted(info.get("missing_keys") or ()):
        raise _refused(folder, "lacks", missing, "the weights are not whole, or the configuration is another model's")
    if mismatched := sorted(info.get("mismatched_keys") or (), key=str):
        name, stored, expected = mismatched[0]
        raise _refused(
            folder,
            "has another shape of",
            [each[0] for each in mismatched],
            f"{name} is {list(stored)}, and by config.json {list(expected)}",
        )
    unexpected = sorted(name for name in info.get("unexpected_keys") or () if not _HARMLESS.search(name))
    if unexpected:
        raise _refused(folder, "holds weights that its config.json has no place for:", unexpected, "")
    if errors := [*(info.get("error_msgs") or ()), *(info.get("conversion_errors") or ())]:
        raise ModelStoreError(f"{folder} cannot be loaded whole ({str(errors[0]).splitlines()[0]}); fetch it again.")
    _check_tied(model, folder)


def _check_tied(model: Any, folder: Path) -> None:
    """Checks that of two tied weights only one is stored, or both are equal."""
    tied: Mapping[str, str] = getattr(type(model), "_tied_weights_keys", None) or {}
    if not isinstance(tied, Mapping) or not getattr(model.config, "tie_word_embeddings", False):
        return
    tensors = {name: tensor for file in weight_files(folder) for name, tensor in read_header(file).items()}
    for one, other in tied.items():
        if one in tensors and other in tensors and not same_bytes([tensors[one], tensors[other]]):
            raise _refused(
                folder,
                "holds",
                [one],
                f"config.json says that it is the same as {other} (tie_word_embeddings), and it is not",
            )


def _refused(folder: Path, problem: str, names: Iterable[str], why: str) -> ModelStoreError:
    names = list(names)
    rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    reason = f" ({why})" if why else ""
    listed = ", ".join(names[:_SHOWN])
    return ModelStoreError(f"{folder} {problem} {listed}{rest}{reason}; fetch or save the model again.")


def first_line(error: Exception) -> str:
    """The type of an error and the first line of its message."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else 'no reason given'}".rstrip(".")
