"""Training sequences from rows of several passages: the loss is on the letters of the answer alone.

Setwise: the letter of the best passage. Listwise: each letter that a passage of a lower grade follows, behind those
before it; the order of passages with equal grades teaches nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

from tokenizers import Tokenizer

from contract.checkpoint.manifest import tokenizer_sha256
from contract.listed.model import ListModel
from contract.listed.prompt import ListPrompt
from contract.listed.rows import ListKind, ListRow, read_list_rows
from contract.prompt import ContractError
from trainer.errors import BadBase, BadData
from trainer.run.data import choose, read_ids
from trainer.run.folder import data_sha256
from trainer.settings import Sft
from trainer.sft.examples import TrainingSequence


def load_prompt(base: Path, kind: ListKind) -> ListPrompt:
    """The prompt for the tokenizer in `base`. Raises BadBase."""
    try:
        return ListPrompt(kind, Tokenizer.from_file(str(base / "tokenizer.json")))
    except ContractError as error:
        raise BadBase(f"{base} cannot be trained on lists: {error}") from None
    except Exception as error:  # the tokenizers library raises nothing more specific
        raise BadBase(f"{base / 'tokenizer.json'} cannot be read: {error}.") from error


def load_rows(settings: Sft, kind: ListKind) -> list[ListRow]:
    """The chosen rows of the training file, in an order determined by the seed. Raises BadData."""
    return choose(
        settings.data,
        partial(read_list_rows, kind=kind),
        unit="row",
        sample=settings.sample,
        leave_out=settings.leave_out,
        excluded=read_ids(settings.exclude),
        seed=settings.seed,
    )


def list_sequences(rows: Sequence[ListRow], prompt: ListPrompt, tokens: int) -> Iterator[TrainingSequence]:
    """The training sequence of each row, of at most `tokens`. Raises BadData for a row that does not fit."""
    for row in rows:
        answer, weights = _answer(row, prompt)
        try:
            before, cut = prompt.ids(row.query, row.passages, row.instruction, tokens - len(answer))
        except ContractError as error:
            raise BadData(f"Row {row.id!r}: {error}") from None
        yield TrainingSequence((*before, *answer), weights, cut)


def list_model(settings: Sft, rows: Sequence[ListRow], licences: tuple[str, ...], recipe: str) -> ListModel:
    """What the result states."""
    return ListModel(
        kind=ListKind(settings.format),
        window=max(len(row.passages) for row in rows),
        tokens=settings.max_tokens,
        base=settings.base_name or settings.base.name,
        tokenizer_sha256=tokenizer_sha256(settings.base),
        data_sha256=data_sha256(settings.data),
        licences=licences,
        recipe=recipe,
    )


def _answer(row: ListRow, prompt: ListPrompt) -> tuple[list[int], tuple[float, ...]]:
    """The ids of the answer as far as it is trained, and the weight of each; the weights add up to 1."""
    ranking = row.ranking
    if prompt.kind is ListKind.SETWISE:
        return prompt.answer(ranking[:1]), (1.0,)
    grades = [row.grades[index] for index in ranking]
    tells = [before > after for before, after in pairwise(grades)]
    last = max(place for place, told in enumerate(tells) if told)
    weights = [0.0] * len(prompt.answer(ranking[: last + 1]))
    step = len(prompt.separator) + 1
    for place in range(last + 1):
        weights[place * step] = float(tells[place]) / sum(tells)
    return prompt.answer(ranking[: last + 1]), tuple(weights)
