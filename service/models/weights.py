"""The safetensors files of a model folder: which ones hold the model, and whether their numbers are numbers.

Files are read as bytes: a NaN or an infinity is a pattern of bits, whatever the number format, so no library of tensors
is needed, and a format that numpy does not know (bfloat16, float8) is none that cannot be checked.
"""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from contract.checkpoint.model_config import ConfigError, read_json_object
from service.errors import ModelStoreError

SINGLE_FILE = "model.safetensors"
INDEX = "model.safetensors.index.json"

_MOST_HEADER_BYTES = 32 * 2**20  # of one file; a model of 60,000 tensors needs 8
_LENGTH_BYTES = 8
_PART_BYTES = 8 * 2**20  # looked at at a time
_THREADS = 4
# Of each format of numbers that has NaN or infinity: as what its bytes are read, and the bits that are all set then.
_NOT_FINITE: Mapping[str, tuple[str, int]] = {
    "F64": ("<u8", 0x7FF0_0000_0000_0000),
    "F32": ("<u4", 0x7F80_0000),
    "F16": ("<u2", 0x7C00),
    "BF16": ("<u2", 0x7F80),
    "F8_E5M2": ("u1", 0x7C),
    "F8_E4M3": ("u1", 0x7F),
}
_INTEGERS = ("BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64")


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor as the header of `file` tells of it. `begin` and `end` are bytes of the file."""

    file: Path
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def check_weights(folder: Path, *, quantised: bool = False) -> dict[str, Tensor]:
    """The tensors of the model in `folder`, by name. `quantised`: weights may be whole numbers.

    Raises ModelStoreError where a file is missing or not whole, or a weight is not a finite number.
    """
    tensors = read_headers(folder)
    check_finite(tensors)
    if not quantised:
        _check_kinds(tensors)
    return tensors


def read_headers(folder: Path, *, whole: bool = True) -> dict[str, Tensor]:
    """The tensors of the model in `folder`, by name, without a look at their numbers. `whole` False: the files may end
    with their headers. Raises ModelStoreError."""
    tensors: dict[str, Tensor] = {}
    for file in weight_files(folder, whole=whole):
        for name, tensor in read_header(file, whole=whole).items():
            if name in tensors:
                raise ModelStoreError(
                    f"The tensor {name!r} stands in {tensors[name].file} and in {file}; fetch or save the model again."
                )
            tensors[name] = tensor
    return tensors


def weight_files(folder: Path, *, whole: bool = True) -> list[Path]:
    """The files that hold the model, by the index where there is one. `whole`: see `read_headers`. Raises
    ModelStoreError."""
    single, index = folder / SINGLE_FILE, folder / INDEX
    if not index.exists():
        if single.is_file():
            return [single]
        missing = f"neither {SINGLE_FILE} nor {INDEX}" if any(folder.glob("*.safetensors")) else "no *.safetensors"
        raise ModelStoreError(f"{folder} has {missing}; save the weights in that format (pickles are not read).")
    files = _indexed(index, whole)
    if single.is_file() and single not in files:
        raise ModelStoreError(f"{folder} holds {SINGLE_FILE} and {INDEX} that names other files; remove one of them.")
    return files


def read_header(file: Path, *, whole: bool = True) -> dict[str, Tensor]:
    """The tensors of a file. `whole`: its length must be the one its header tells. Raises ModelStoreError."""
    try:
        size = _header_bytes(file)
        if whole:
            with safe_open(file, framework="numpy"):  # compares each tensor's place and size with the file
                pass
        with file.open("rb") as opened:
            opened.seek(_LENGTH_BYTES)
            header = json.loads(opened.read(size))
        start = _LENGTH_BYTES + size
        return {name: _tensor(file, entry, start) for name, entry in header.items() if name != "__metadata__"}
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelStoreError(f"{file} is not a whole safetensors file ({reason}); fetch or save it again.") from error


def check_finite(tensors: Mapping[str, Tensor]) -> None:
    """Raises ModelStoreError naming a tensor that holds NaN or an infinity."""
    parts = [(name, tensor, *part) for name, tensor in tensors.items() for part in _parts(tensor)]
    with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1), "limrank-weights") as threads:
        maps = {file: _mapped(file) for file in {tensor.file for tensor in tensors.values()}}
        found = threads.map(lambda part: _is_finite(maps[part[1].file], part[1].dtype, part[2], part[3]), parts)
        for (name, tensor, *_), finite in zip(parts, found, strict=True):
            if not finite:
                threads.shutdown(wait=False, cancel_futures=True)
                raise ModelStoreError(
                    f"The tensor {name!r} in {tensor.file} holds NaN or infinite numbers; fetch or train the model "
                    "again."
                )


def _indexed(index: Path, whole: bool) -> list[Path]:
    """The files that an index names, each of which must hold what the index says of it. Raises ModelStoreError."""
    try:
        named = read_json_object(index).get("weight_map")
    except ConfigError as error:
        raise ModelStoreError(str(error)) from error
    if not isinstance(named, dict) or not named or not all(isinstance(file, str) for file in named.values()):
        raise ModelStoreError(f"{index} has no weight_map of tensors and files; fetch or save it again.")
    held: dict[str, Path] = {}
    for name in sorted(set(named.values())):
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise ModelStoreError(f"{index} names {name[:80]!r}, which is no safetensors file of its folder; mend it.")
        file = index.parent / name
        if not file.is_file():
            raise ModelStoreError(f"{index} names {name}, which {index.parent} lacks; fetch or save the model again.")
        held |= dict.fromkeys(read_header(file, whole=whole), file)
    for tensor, name in named.items():
        if held.get(tensor) != index.parent / name:
            raise ModelStoreError(
                f"{index} says that {name} holds the tensor {tensor!r}, which it lacks; fetch it again."
            )
    return [index.parent / name for name in sorted(set(named.values()))]


def _header_bytes(file: Path) -> int:
    with file.open("rb") as opened:
        size = int.from_bytes(opened.read(_LENGTH_BYTES), "little")
    if size > _MOST_HEADER_BYTES:
        raise ValueError(f"its header takes {size} bytes, more than {_MOST_HEADER_BYTES}")
    return size


def _tensor(file: Path, entry: Any, start: int) -> Tensor:
    begin, end = entry["data_offsets"]
    return Tensor(file, entry["dtype"], tuple(entry["shape"]), start + begin, start + end)


def _parts(tensor: Tensor) -> Iterator[tuple[int, int]]:
    if tensor.dtype in _NOT_FINITE:
        for begin in range(tensor.begin, tensor.end, _PART_BYTES):
            yield begin, min(tensor.end, begin + _PART_BYTES)


def _mapped(file: Path) -> mmap.mmap | bytes:
    with file.open("rb") as opened:
        return mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) if file.stat().st_size else b""


def _is_finite(content: mmap.mmap | bytes, dtype: str, begin: int, end: int) -> bool:
    kind, bits = _NOT_FINITE[dtype]
    number = np.dtype(kind)
    values: NDArray[Any] = np.frombuffer(content, number, (end - begin) // number.itemsize, begin)
    mask = number.type(bits)
    return not bool(np.any(np.bitwise_and(values, mask) == mask))


def _check_kinds(tensors: Mapping[str, Tensor]) -> None:
    """Raises ModelStoreError for weights that are whole numbers where the model is not quantised."""
    for name, tensor in tensors.items():
        if tensor.dtype in _INTEGERS and name.endswith((".weight", ".bias")):
            raise ModelStoreError(
                f"The tensor {name!r} in {tensor.file} holds whole numbers ({tensor.dtype}), but config.json says "
                "nothing of quantised weights; fetch or save the model again."
            )


def same_bytes(tensors: Sequence[Tensor]) -> bool:
    """True if all of them hold the same numbers in the same format."""
    contents = []
    for tensor in tensors:
        with tensor.file.open("rb") as opened:
            opened.seek(tensor.begin)
            contents.append(opened.read(tensor.end - tensor.begin))
    return all(
        each == contents[0] and one.dtype == tensors[0].dtype for each, one in zip(contents, tensors, strict=True)
    )
