"""Starts vLLM in this process's event loop and submits its requests. The only importer of vllm.

Avoids two silent traps of vLLM: no request uses `logprobs`, because its top-N may lack an answer token, and because one
such request in a batch turns the `logprob_token_ids` values of the others into -inf.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any, Literal

import vllm
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification
from vllm import AsyncEngineArgs, PoolingParams, RequestOutput, SamplingParams
from vllm.sampling_params import RequestOutputKind
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.exceptions import EngineDeadError

from cli.progress import progress
from contract.pairs import PairPrompts
from contract.prompt import ContractError
from contract.reasoning import Reader, folder_end_ids
from contract.segments import Segments
from service.engines.cross_encoder.encoder import classifier_encoder
from service.engines.vllm.engine import EngineInfo, VllmEngine
from service.engines.vllm.pooling import Pooled, PoolingInfo, VllmPoolingEngine
from service.engines.vllm.requests import AnswerLogprobs, Generation, RequestParams
from service.engines.vllm.several_nodes import check_nodes
from service.engines.vllm.startup import (
    VllmOptions,
    checked_extra,
    engine_log,
    no_keyboard_interrupts,
    why,
    with_exact_answers,
)
from service.engines.vllm.steps import step_now
from service.engines.vllm.weights import check_weights, has_quantised_head
from service.errors import EngineDead, ModelStoreError
from service.models.checkpoint import Checkpoint
from service.models.classifier import Classifier

_NEWS_EVERY_TOKENS = 16  # of reasoning: how far a loop may grow before it is noticed
_SHUTDOWN_SECONDS = 5.0


def load(checkpoint: Checkpoint, options: VllmOptions) -> VllmEngine:
    """Starts vLLM with a checkpoint; takes half a minute to several minutes. Raises ModelStoreError."""
    manifest = checkpoint.manifest
    if manifest.format is None:
        raise ModelStoreError(f"{checkpoint.name} is a {manifest.kind}; this engine runs causal models only.")
    try:
        segments = Segments(manifest.format, checkpoint.tokenizer())
    except ContractError as error:
        raise ModelStoreError(str(error)) from error
    extra = checked_extra(options.extra, [each.name for each in dataclasses.fields(AsyncEngineArgs)])
    check_nodes(extra, options.data_parallel_size)
    check_weights(checkpoint, extra, AutoModelForCausalLM)
    llm = _start(
        checkpoint,
        options,
        runner="generate",
        extra=with_exact_answers(extra, quantised=has_quantised_head(checkpoint, options)),
        logits=segments.reading.logits,
    )
    reader = Reader(segments, folder_end_ids(checkpoint.folder, segments))
    client = VllmClient(llm, segments, reader)
    return VllmEngine(client, _info(llm), segments, reader, stuck_after=options.stuck_after)


def load_classifier(
    checkpoint: Checkpoint, options: VllmOptions, prompts: PairPrompts | None = None
) -> VllmPoolingEngine:
    """Starts vLLM with a sequence classifier. `prompts` override those in its files. Raises ModelStoreError."""
    extra = checked_extra(options.extra, [each.name for each in dataclasses.fields(AsyncEngineArgs)])
    check_nodes(extra, options.data_parallel_size)
    check_weights(checkpoint, extra, AutoModelForSequenceClassification)
    llm = _start(checkpoint, options, runner="pooling", extra=extra)
    info = _pooling_info(llm)
    classifier = checkpoint.classifier or Classifier()
    most = llm.vllm_config.model_config.max_model_len
    encoder = classifier_encoder(checkpoint, min(most, classifier.max_tokens or most), prompts)
    return VllmPoolingEngine(VllmPooler(llm), info, encoder, classifier, stuck_after=options.stuck_after)


def _start(
    checkpoint: Checkpoint,
    options: VllmOptions,
    *,
    runner: Literal["generate", "pooling"],
    extra: Mapping[str, Any],
    logits: bool = False,
) -> AsyncLLM:
    """Starts vLLM. With `logits`, answers are read as logits instead of log-probabilities."""
    with progress("starting_vllm") as shown, engine_log() as log, no_keyboard_interrupts():
        shown.step = partial(step_now, log.steps)
        try:
            return AsyncLLM.from_engine_args(
                AsyncEngineArgs(
                    model=str(checkpoint.folder),
                    served_model_name=[checkpoint.name],
                    runner=runner,
                    dtype=options.dtype,
                    tensor_parallel_size=options.tensor_parallel_size,
                    data_parallel_size=options.data_parallel_size,
                    quantization=options.quantization,
                    gpu_memory_utilization=options.gpu_memory_utilization,
                    max_model_len=options.max_model_len,
                    max_num_batched_tokens=options.max_num_batched_tokens,
                    max_num_seqs=options.max_num_seqs,
                    # A bidirectional classifier has no reusable prefix; vLLM knows which models do.
                    enable_prefix_caching=True if runner == "generate" else None,
                    scheduling_policy="priority",
                    stream_interval=_NEWS_EVERY_TOKENS if runner == "generate" else 1,  # vLLM 0.32 fails on others
                    logprobs_mode="raw_logits" if logits else "raw_logprobs",
                    **extra,
                )
            )
        except Exception as error:  # vLLM passes on whatever its parts raise, mostly in another process
            raise ModelStoreError(f"vLLM cannot serve {checkpoint.name}: {why(error, log.errors)}") from error


def _info(llm: AsyncLLM) -> EngineInfo:
    config = llm.vllm_config
    return EngineInfo(
        version=vllm.__version__,
        dtype=str(config.model_config.dtype).removeprefix("torch."),
        device=config.device_config.device_type,
        max_model_len=config.model_config.max_model_len,
        positions=getattr(config.model_config.hf_text_config, "max_position_embeddings", None) or 0,
        step_tokens=config.scheduler_config.max_num_batched_tokens,
        max_requests=config.scheduler_config.max_num_seqs,
        block=config.cache_config.block_size,
        ranks=config.parallel_config.data_parallel_size,
        dead=lambda: llm.errored,
        unfinished=llm.get_num_unfinished_requests,
        shutdown=lambda: llm.shutdown(timeout=_SHUTDOWN_SECONDS),
        random_weights=config.load_config.load_format == "dummy",
    )


def _pooling_info(llm: AsyncLLM) -> PoolingInfo:
    config = llm.vllm_config
    model = config.model_config
    text = model.hf_text_config
    return PoolingInfo(
        version=vllm.__version__,
        dtype=str(model.dtype).removeprefix("torch."),
        device=config.device_config.device_type,
        step_tokens=config.scheduler_config.max_num_batched_tokens,
        max_requests=config.scheduler_config.max_num_seqs,
        ranks=config.parallel_config.data_parallel_size,
        types=getattr(text, "type_vocab_size", 1) > 1,
        reads_last=model.pooler_config.seq_pooling_type == "LAST",
        pad=text.pad_token_id,
        positions=getattr(text, "max_position_embeddings", None) or 0,
        dead=lambda: llm.errored,
        shutdown=lambda: llm.shutdown(timeout=_SHUTDOWN_SECONDS),
        random_weights=config.load_config.load_format == "dummy",
    )


class VllmPooler:
    """`service.engines.vllm.pooling.Pooler` on an AsyncLLM."""

    def __init__(self, llm: AsyncLLM) -> None:
        self._llm = llm

    async def pool(self, name: str, ids: Sequence[int], second: int | None, priority: int) -> Pooled:
        types = None if second is None else {"compressed_token_type_ids": second}
        params = PoolingParams(task="classify", use_activation=False, extra_kwargs=types)
        prompt = {"type": "token", "prompt_token_ids": list(ids)}
        try:
            async with aclosing(self._llm.encode(prompt, params, name, priority=priority)) as outputs:
                pooled = [each async for each in outputs][-1]
        except EngineDeadError as error:
            raise EngineDead("vLLM's engine process has ended.") from error
        return Pooled(tuple(pooled.outputs.data.float().flatten().tolist()), pooled.num_cached_tokens or 0)


class VllmClient:
    """`service.engines.vllm.requests.Client` on an AsyncLLM."""

    def __init__(self, llm: AsyncLLM, segments: Segments, reader: Reader) -> None:
        self._llm = llm
        self._segments = segments
        self._reader = reader
        self._end_ids = sorted(reader.end_ids)
        self._texts: dict[tuple[int, ...], list[str]] = {}  # stop strings of reasoning, by answers

    async def read_answers(self, params: RequestParams, ids: Sequence[int]) -> AnswerLogprobs | None:
        outputs = [each async for each in self._generate(params, ids, _one_step(params.answers))]
        last = outputs[-1] if outputs else None
        if last is None or last.outputs[0].finish_reason == "abort":
            return None
        (values,) = _logprobs(last, params.answers)
        return AnswerLogprobs(values, last.num_cached_tokens or 0, self._segments.reading.logits)

    async def write(
        self, params: RequestParams, prompt: Sequence[int], budget: int, continued: Sequence[int]
    ) -> AsyncGenerator[Generation]:
        seen = len(continued)
        async with aclosing(self._generate(params, prompt, self._writing(params.answers, budget))) as outputs:
            async for each in outputs:
                ids = list(each.outputs[0].token_ids)  # a copy: vLLM keeps appending to its own
                written = [*continued, *ids]
                finished = each.finished or self._reader.answered(written, seen)
                answers = _logprobs(each, params.answers) if finished else ()
                yield Generation(ids, each.num_cached_tokens or 0, finished, answers)
                if finished and not each.finished:
                    return  # the answer is no stop token; vLLM aborts what nobody reads
                seen = len(written)

    async def abort(self, names: Sequence[str]) -> None:
        await self._llm.abort(names)

    async def _generate(
        self, params: RequestParams, ids: Sequence[int], sampling: SamplingParams
    ) -> AsyncGenerator[RequestOutput]:
        generated = self._llm.generate(
            {"type": "token", "prompt_token_ids": list(ids)},
            sampling,
            params.name,
            priority=params.priority,
            data_parallel_rank=params.rank,
        )
        try:
            async with aclosing(generated) as outputs:
                async for each in outputs:
                    yield each
        except EngineDeadError as error:
            raise EngineDead("vLLM's engine process has ended.") from error

    def _stops(self, answers: tuple[int, ...]) -> list[str]:
        """Each answer as text after the end-of-think tag."""
        if answers not in self._texts:
            decode, close = self._segments.tokenizer.decode, self._segments.closing
            self._texts[answers] = [decode([*close, answer], skip_special_tokens=False) for answer in answers]
        return self._texts[answers]

    def _writing(self, answers: tuple[int, ...], budget: int) -> SamplingParams:
        """Stops at an answer after the end-of-think tag, at an end of text, or at the budget."""
        return SamplingParams(
            temperature=0.0,
            max_tokens=budget,
            stop=self._stops(answers),
            stop_token_ids=self._end_ids,
            skip_special_tokens=False,
            spaces_between_special_tokens=False,
            logprob_token_ids=list(answers),
            output_kind=RequestOutputKind.CUMULATIVE,
        )


def _one_step(answers: tuple[int, ...]) -> SamplingParams:
    return SamplingParams(
        temperature=0.0,
        max_tokens=1,
        ignore_eos=True,
        detokenize=False,
        logprob_token_ids=list(answers),
        output_kind=RequestOutputKind.FINAL_ONLY,
    )


def _logprobs(output: RequestOutput, answers: tuple[int, ...]) -> list[tuple[float, ...]]:
    """Log-probabilities of the answer tokens at the position of each generated token."""
    places = output.outputs[0].logprobs or []
    return [tuple(place[answer].logprob for answer in answers) for place in places]
