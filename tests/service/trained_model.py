"""A tiny model that is trained on the template of one format until it knows which passage answers which question."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import AutoModelForCausalLM, Qwen3Config

from contract.formats.named import NAMED_FORMATS
from contract.formats.prompt_format import PromptFormat
from contract.segments import Segments
from service.scheduling.start_check import OTHER, QUERY, RELEVANT
from tests.tokenizers import qwen_tokenizer

TOPICS = (
    (QUERY, RELEVANT),
    ("When did the first public steam railway open?", OTHER),
    ("How do glaciers move?", "Glaciers slide over their beds."),
)
_STEPS = 300


def small_tokenizer() -> Tokenizer:
    """Byte-level BPE of some hundred tokens, cut into words as Qwen cuts, with the special strings of the named formats
    of Qwen's kind."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = qwen_tokenizer().pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    texts = [text for pair in TOPICS for text in pair]
    texts += [piece for each in NAMED_FORMATS.values() for piece in each.prompt]
    texts += [" true false yes no Yes No (yes)(no)"] * 200
    trainer = BpeTrainer(vocab_size=900, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in ("<think>", "</think>")])
    return tokenizer


def save_trained_model(folder: Path, prompt_format: PromptFormat) -> Path:
    """Trains on all tokens of prompt and answer, so that behind other text it expects other text."""
    torch.manual_seed(0)
    tokenizer = small_tokenizer()
    config = Qwen3Config(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
    )
    model: Any = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
    _train(model, _examples(Segments(prompt_format, tokenizer)))
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def _examples(segments: Segments) -> list[list[int]]:
    """Every question with every passage."""
    numbers = range(len(TOPICS))
    return [
        list(segments.example(segments.prompt_ids(TOPICS[q][0], TOPICS[p][1]), (), q == p).ids)
        for q, p in itertools.product(numbers, numbers)
    ]


def _train(model: Any, examples: list[list[int]]) -> None:
    longest = max(map(len, examples))
    ids = torch.tensor([[*each, *[0] * (longest - len(each))] for each in examples])
    labels = torch.tensor([[*each, *[-100] * (longest - len(each))] for each in examples])
    mask = (labels != -100).long()
    last = torch.tensor([len(each) - 1 for each in examples])
    answers = ids[torch.arange(len(examples)), last]
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(_STEPS):
        output = model(input_ids=ids, attention_mask=mask, labels=labels)
        verdict = torch.nn.functional.cross_entropy(output.logits[torch.arange(len(examples)), last - 1], answers)
        (output.loss + verdict).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
    assert float(verdict.detach()) < 0.1, "the model did not learn its template"
