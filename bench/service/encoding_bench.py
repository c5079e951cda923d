"""Encoding a call of 1,000 documents under a 500-word instruction into token ids, as the service does it.

Prints the median of several rounds, and the same for slices of a 64-document window that each encode the prefix again,
as engines did before decision 13.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
import time

from tokenizers import Tokenizer

from bench.engines.engine_bench import MODEL, random_text
from contract.segments import Segments
from service.engine import Limits
from service.engines.causal.prompts import CausalEncoder
from service.models.store import resolve
from service.scheduling.encoding import CallText, EncodingPool

DOCUMENTS, WORDS, INSTRUCTION_WORDS = 1000, 100, 500
SLICE = 32
ROUNDS = 5


def main() -> int:
    """Prints the two times."""
    checkpoint = resolve(MODEL)
    assert checkpoint.manifest.format is not None
    tokenizer = Tokenizer.from_file(str(checkpoint.folder / "tokenizer.json"))
    encoder = CausalEncoder(Segments(checkpoint.manifest.format, tokenizer), 8192)
    choose = random.Random(1)
    passages = tuple(random_text(choose, WORDS) for _ in range(DOCUMENTS))
    text = CallText("how do glaciers move", random_text(choose, INSTRUCTION_WORDS), passages, Limits())
    once, again = [], []
    for _ in range(ROUNDS):
        once.append(asyncio.run(_once(encoder, text)))
        again.append(_in_slices(encoder, text))
    print(f"encoding {DOCUMENTS} documents of {WORDS} words, instruction of {INSTRUCTION_WORDS}")
    print(f"  prefix once, in parts:    {1000 * statistics.median(once):7.1f} ms")
    print(f"  prefix for every {SLICE}:     {1000 * statistics.median(again):7.1f} ms")
    return 0


async def _once(encoder: CausalEncoder, text: CallText) -> float:
    pool = EncodingPool(encoder)
    start = time.perf_counter()
    await pool.encode(text, "bench")
    pool.close()
    return time.perf_counter() - start


def _in_slices(encoder: CausalEncoder, text: CallText) -> float:
    start = time.perf_counter()
    for at in range(0, DOCUMENTS, SLICE):
        prefix = encoder.prefix(text.query, text.instruction, 0)
        encoder.rests(prefix, text.passages[at : at + SLICE], text.limits)
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())
