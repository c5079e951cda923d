"""The card of a cross-encoder says who can load it."""

from __future__ import annotations

from dataclasses import replace

from contract.checkpoint.manifest import Manifest
from trainer.publish.model_card import model_card

MANIFEST = Manifest(
    kind="cross-encoder", format=None, verdict_tokens=None, tokenizer_sha256="0" * 64, temperature=1.5, base="encoder"
)


def test_a_bi_encoder_beside_the_network_is_told() -> None:
    plain = model_card(replace(MANIFEST, config={"model_type": "bert"}), None, {})
    beside = model_card(replace(MANIFEST, config={"model_type": "limrank_similarity_bert"}), None, {})
    assert "divided by the temperature, 1.5" in plain
    assert "bi-encoder" not in plain
    assert "`limrank_similarity_bert`" in beside
    assert "Sentence Transformers alone do not know it" in beside
