"""`python -m recipes.limrank_mini.general DATA OUT --encoder FOLDER`: general/ and medquad/ in, scored groups out."""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields
from pathlib import Path

from cli.errors import CommandError
from contract.records import RecordError
from recipes.limrank_mini.general.building import Amounts, build
from recipes.limrank_mini.general.vectors import Encoder


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0, or 2 for unusable input."""
    parser = argparse.ArgumentParser(
        prog="python -m recipes.limrank_mini.general", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("data", type=Path, help="folder that holds general/ and medquad/")
    parser.add_argument("out", type=Path, help="file of scored groups to write")
    parser.add_argument("--encoder", type=Path, required=True, help="folder of all-MiniLM-L6-v2, which is the teacher")
    parser.add_argument("--general", type=Path, help="folder of the general data; default: general/ under DATA")
    parser.add_argument("--medquad", type=Path, help="groups of `recipes.limrank_mini import`; default: no MedQuAD")
    parser.add_argument("--vectors", type=Path, help="folder that keeps vectors; default: beside OUT")
    for field in fields(Amounts):
        parser.add_argument(
            f"--{field.name.replace('_', '-')}", type=int, default=field.default, help="at most (default: %(default)s)"
        )
    given = parser.parse_args(arguments)
    amounts = Amounts(**{field.name: getattr(given, field.name) for field in fields(Amounts)})
    try:
        encoder = Encoder(given.encoder, given.vectors or given.out.parent / "vectors")
        build(
            given.data,
            given.out,
            encoder=encoder,
            medquad=given.medquad,
            amounts=amounts,
            general_folder=given.general,
            say=_say,
        )
    except (CommandError, RecordError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
