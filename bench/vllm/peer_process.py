"""vLLM offline, in its own process: plain `LLM.generate`, and the procedure that Rank1 published.

Reads one JSON object per line and answers each with a line that begins with `REPLY `. Both peers get the ids that the
service would build, so that only the procedure differs.
"""

from __future__ import annotations

import json
import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from vllm import LLM, SamplingParams

from contract.prompt import LIMRANK
from contract.segments import Segments

REPLY = "REPLY "
_TOP = 20  # log-probabilities that Rank1 requests


@dataclass(frozen=True, slots=True)
class Read:
    """Log-odds of each passage, None where the top 20 lacked a word; `missing` counts those at the first attempt."""

    log_odds: list[float | None]
    missing: int = 0


class Peers:
    def __init__(self, arguments: dict[str, Any]) -> None:
        self._llm = LLM(**arguments)
        folder = Path(arguments["model"])
        self._segments = Segments(LIMRANK, Tokenizer.from_file(str(folder / "tokenizer.json")))
        self._words = self._segments.verdict

    def generate(self, query: str, passages: list[str]) -> Read:
        """One request per passage; requests the two log-probabilities by token id."""
        contexts = [self._segments.context(prompt) for prompt in self._prompts(query, passages)]
        words = [self._words.true, self._words.false]
        params = SamplingParams(temperature=0.0, max_tokens=1, detokenize=False, logprob_token_ids=words)
        outputs = self._run(contexts, params)
        return Read([self._log_odds(output.outputs[0].logprobs[0]) for output in outputs])

    def rank1(self, query: str, passages: list[str], budget: int) -> Read:
        """Generates reasoning that stops at a verdict, with the top 20 of every token; closes the incomplete ones and
        requests one more token."""
        close = LIMRANK.close
        stops = [f"{close}{LIMRANK.true_word}", f"{close}{LIMRANK.false_word}"]
        first = SamplingParams(temperature=0.0, max_tokens=budget, logprobs=_TOP, stop=stops, skip_special_tokens=False)
        prompts = self._prompts(query, passages)
        outputs = [output.outputs[0] for output in self._run(prompts, first)]
        odds = [self._log_odds(out.logprobs[-1]) if out.stop_reason in stops else None for out in outputs]
        again = [n for n, out in enumerate(outputs) if out.stop_reason not in stops]
        contexts = [self._segments.context_after(prompts[n], list(outputs[n].token_ids)) for n in again]
        allowed = [self._words.true, self._words.false]
        second = SamplingParams(temperature=0.0, max_tokens=1, logprobs=_TOP, allowed_token_ids=allowed)
        for n, output in zip(again, self._run(contexts, second) if again else [], strict=True):
            odds[n] = self._log_odds(output.outputs[0].logprobs[0])
        return Read(odds, sum(each is None for each in odds))

    def _prompts(self, query: str, passages: list[str]) -> list[list[int]]:
        prefix = self._segments.prompt.prefix(query)
        return [prefix + rest for rest in self._segments.prompt.rests(passages)]

    def _run(self, prompts: list[list[int]], params: SamplingParams) -> list[Any]:
        return list(self._llm.generate([{"prompt_token_ids": ids} for ids in prompts], params, use_tqdm=False))

    def _log_odds(self, found: Any) -> float | None:
        if self._words.true not in found or self._words.false not in found:
            return None
        odds = float(found[self._words.true].logprob - found[self._words.false].logprob)
        return odds if math.isfinite(odds) else None


def main() -> None:
    peers = Peers(json.loads(sys.argv[1]))
    _reply({"ready": True})
    for line in sys.stdin:
        asked = json.loads(line)
        work = peers.generate if asked.pop("do") == "generate" else peers.rank1
        start = time.perf_counter()
        read = work(**asked)
        _reply({"seconds": time.perf_counter() - start, "log_odds": read.log_odds, "missing": read.missing})


def _reply(reply: dict[str, Any]) -> None:
    sys.stdout.write(f"{REPLY}{json.dumps(reply)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
