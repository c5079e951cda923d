"""Starts vLLM in this process's event loop and puts its requests. The only importer of vllm.

Two silent traps of vLLM are avoided here: no request asks for `logprobs`, since its top-N may miss a verdict word and
one such request in a batch turns the values of `logprob_token_ids` beside it into -inf.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import vllm
from tokenizers import Tokenizer
from vllm import AsyncEngineArgs, RequestOutput, SamplingParams
from vllm.sampling_params import RequestOutputKind
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.exceptions import EngineDeadError

from contract.prompt import ContractError
from contract.segments import Segments
from service.engines.causal.end_ids import end_ids
from service.engines.vllm.engine import Started, VllmEngine
from service.engines.vllm.options import VllmOptions, checked_extra
from service.engines.vllm.requests import Asked, Words, Written
from service.engines.vllm.startup import engine_log, no_keyboard_interrupts, why
from service.engines.vllm.trace import TraceReader
from service.errors import EngineDead
from service.models.checkpoint import Checkpoint, ModelStoreError

_NEWS_EVERY_TOKENS = 16  # of a trace: what a loop may grow before it is seen
_SHUTDOWN_SECONDS = 5.0


def load(checkpoint: Checkpoint, options: VllmOptions) -> VllmEngine:
    """Start vLLM with a checkpoint; takes half a minute to some minutes. Raise ModelStoreError."""
    manifest = checkpoint.manifest
    if manifest.format is None:
        raise ModelStoreError(f"{checkpoint.name} is a {manifest.kind}; this engine runs causal models only.")
    try:
        segments = Segments(manifest.format, Tokenizer.from_file(str(checkpoint.folder / "tokenizer.json")))
    except ContractError as error:
        raise ModelStoreError(str(error)) from error
    llm = _start(checkpoint, options)
    reader = TraceReader(segments, end_ids(checkpoint.folder, segments))
    started = _started(llm)
    return VllmEngine(VllmRequests(llm, segments, reader), started, segments, reader, manifest.temperatures, options)


def _start(checkpoint: Checkpoint, options: VllmOptions) -> AsyncLLM:
    known = [each.name for each in dataclasses.fields(AsyncEngineArgs)]
    extra = checked_extra(options.extra, known)
    with engine_log() as errors, no_keyboard_interrupts():
        try:
            return AsyncLLM.from_engine_args(
                AsyncEngineArgs(
                    model=str(checkpoint.folder),
                    served_model_name=[checkpoint.name],
                    runner="generate",
                    dtype=options.dtype,
                    tensor_parallel_size=options.tensor_parallel_size,
                    data_parallel_size=options.data_parallel_size,
                    quantization=options.quantization,
                    gpu_memory_utilization=options.gpu_memory_utilization,
                    max_model_len=options.max_model_len,
                    max_num_batched_tokens=options.max_num_batched_tokens,
                    max_num_seqs=options.max_num_seqs,
                    enable_prefix_caching=True,
                    scheduling_policy="priority",
                    stream_interval=_NEWS_EVERY_TOKENS,
                    **extra,
                )
            )
        except Exception as error:  # vLLM raises whatever its parts raise, most of it in another process
            raise ModelStoreError(f"vLLM cannot serve {checkpoint.name}: {why(error, errors)}") from error


def _started(llm: AsyncLLM) -> Started:
    config = llm.vllm_config
    return Started(
        version=vllm.__version__,
        dtype=str(config.model_config.dtype).removeprefix("torch."),
        device=config.device_config.device_type,
        max_model_len=config.model_config.max_model_len,
        step_tokens=config.scheduler_config.max_num_batched_tokens,
        seats=config.scheduler_config.max_num_seqs,
        block=config.cache_config.block_size,
        ranks=config.parallel_config.data_parallel_size,
        dead=lambda: llm.errored,
        unfinished=llm.get_num_unfinished_requests,
        shutdown=lambda: llm.shutdown(timeout=_SHUTDOWN_SECONDS),
    )


class VllmRequests:
    """`service.engines.vllm.requests.Requests` on an AsyncLLM."""

    def __init__(self, llm: AsyncLLM, segments: Segments, reader: TraceReader) -> None:
        self._llm = llm
        self._words = segments.verdict
        self._word_ids = [self._words.true, self._words.false]
        form = segments.format
        self._stops = [f"{form.close}{word}" for word in (form.true_word, form.false_word)]
        self._reader = reader
        self._end_ids = sorted(reader.end_ids)

    async def words(self, asked: Asked, ids: Sequence[int]) -> Words | None:
        outputs = [each async for each in self._generate(asked, ids, self._one_step())]
        last = outputs[-1] if outputs else None
        if last is None or last.outputs[0].finish_reason == "abort":
            return None
        ((true, false),) = self._read(last)
        return Words(true, false, last.num_cached_tokens or 0)

    async def trace(self, asked: Asked, prompt: Sequence[int], budget: int) -> AsyncGenerator[Written]:
        seen = 0
        async with aclosing(self._generate(asked, prompt, self._writing(budget))) as news:
            async for each in news:
                ids = list(each.outputs[0].token_ids)  # a copy: vLLM goes on writing to its own
                answered = not each.finished and self._reader.answered(ids, seen)
                words = self._read(each) if each.finished or answered else ()
                yield Written(ids, each.num_cached_tokens or 0, words)
                if answered:
                    return  # in other words than those that stop it; vLLM aborts a request that nobody reads any more
                seen = len(ids)

    def _read(self, output: RequestOutput) -> list[tuple[float, float]]:
        """Log-probabilities (true, false) in the place of each token that was written."""
        places = output.outputs[0].logprobs or []
        return [(place[self._words.true].logprob, place[self._words.false].logprob) for place in places]

    async def abort(self, names: Sequence[str]) -> None:
        await self._llm.abort(names)

    async def _generate(
        self, asked: Asked, ids: Sequence[int], params: SamplingParams
    ) -> AsyncGenerator[RequestOutput]:
        generated = self._llm.generate(
            {"type": "token", "prompt_token_ids": list(ids)},
            params,
            asked.name,
            priority=asked.priority,
            data_parallel_rank=asked.rank,
        )
        try:
            async with aclosing(generated) as news:
                async for each in news:
                    yield each
        except EngineDeadError as error:
            raise EngineDead("vLLM's engine process has ended.") from error

    def _one_step(self) -> SamplingParams:
        return SamplingParams(
            temperature=0.0,
            max_tokens=1,
            ignore_eos=True,
            detokenize=False,
            logprob_token_ids=self._word_ids,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )

    def _writing(self, budget: int) -> SamplingParams:
        return SamplingParams(
            temperature=0.0,
            max_tokens=budget,
            stop=self._stops,
            stop_token_ids=self._end_ids,
            skip_special_tokens=False,
            spaces_between_special_tokens=False,
            logprob_token_ids=self._word_ids,
            output_kind=RequestOutputKind.CUMULATIVE,
        )
