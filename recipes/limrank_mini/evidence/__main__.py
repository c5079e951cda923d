"""`python -m recipes.limrank_mini.evidence GENERAL OUT --groups FILE`: groups and labels in, records out."""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields
from pathlib import Path

from tokenizers import Tokenizer

from cli.errors import CommandError
from contract.records import RecordError
from recipes.limrank_mini.evidence.building import Amounts, build
from recipes.limrank_mini.evidence.scorers import ByCrossEncoder, ByVectors
from recipes.limrank_mini.evidence.scoring import PairScorer
from recipes.limrank_mini.general.vectors import Encoder


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0, or 2 for unusable input."""
    given = _parser().parse_args(arguments)
    amounts = Amounts(**{field.name: getattr(given, field.name) for field in fields(Amounts)})
    try:
        tokenizer = Tokenizer.from_file(str(given.tokenizer))
        build(
            given.general,
            given.groups,
            given.medquad,
            given.out,
            scorer=_scorer(given),
            tokens=lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids),
            amounts=amounts,
            say=_say,
        )
    except (CommandError, RecordError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m recipes.limrank_mini.evidence", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("general", type=Path, help="folder of the general data")
    parser.add_argument("out", type=Path, help="file of records to write")
    parser.add_argument("--groups", type=Path, required=True, help="scored groups of `recipes.limrank_mini.general`")
    parser.add_argument("--medquad", type=Path, help="records of `recipes.limrank_mini import`; default: no MedQuAD")
    parser.add_argument("--tokenizer", type=Path, required=True, help="tokenizer.json of the model to train")
    parser.add_argument("--encoder", type=Path, required=True, help="folder of all-MiniLM-L6-v2: finds what to quote")
    parser.add_argument("--cross-encoder", type=Path, help="folder of a cross-encoder that does so instead")
    parser.add_argument("--cache", type=Path, help="folder that keeps vectors and scores; default: beside OUT")
    for field in fields(Amounts):
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=int, default=field.default, help="(%(default)s)")
    return parser


def _scorer(given: argparse.Namespace) -> PairScorer:
    cache = given.cache or given.out.parent / "vectors"
    if given.cross_encoder is not None:
        return ByCrossEncoder(given.cross_encoder, cache)
    return ByVectors(Encoder(given.encoder, cache))


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
