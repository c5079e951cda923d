"""Any sequence classifier of one output, without a manifest, scores as Sentence Transformers itself scores it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import CrossEncoder

from contract.pairs import PairPrompts
from retrieval.similarity_bert import register
from service.api.app import create_app
from service.engines.cross_encoder.engine import CrossEncoderEngine
from service.engines.loading import build_engine
from service.errors import ModelStoreError
from service.models.checkpoint import Checkpoint, open_checkpoint
from service.models.classifier import Classifier
from service.models.export import export
from service.models.store import resolve
from service.settings import Settings
from tests.seam import Job, score
from tests.service.engines.cross_encoder.tiny_classifiers import FAMILIES, write_classifier
from tests.service.serving import serving, wait_until

TOLERANCE = 1e-4
_TEXT = (
    "flu rest fluids antiviral drugs railway opened 1825 coal query: passage document: naïve café très "
    "痛風 治療 寿司 the of and to 's (1) 3.5% — it's re-read\n co-op e.g. Ünïted ﬁne ½ A&B"
)
_WORDS = _TEXT.split(" ")


def texts(seed: int, count: int, most: int) -> list[str]:
    draw = random.Random(seed)
    return [" ".join(draw.choices(_WORDS, k=draw.randint(1, most))) for _ in range(count)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a family's tiny model, made when it is first asked for."""
    made: dict[str, Path] = {}

    def of(family: str) -> Path:
        if family not in made:
            made[family] = write_classifier(tmp_path_factory.mktemp(family), family)
        return made[family]

    return of


def library(folder: Path, pairs: list[tuple[str, str]], batch_size: int = 64, **kwargs: Any) -> list[float]:
    """Raw scores of the real library, which cuts nothing of these pairs."""
    model = CrossEncoder(str(folder), local_files_only=True, device="cpu", **kwargs)
    found = model.predict(pairs, activation_fn=torch.nn.Identity(), batch_size=batch_size, show_progress_bar=False)
    return [float(each) for each in found]


async def served(checkpoint: Checkpoint, pairs: list[tuple[str, str]], **kwargs: Any) -> list[float]:
    """The same from the engine, calls of ten documents of each query after another."""
    engine = CrossEncoderEngine.load(checkpoint, dtype="float32", **kwargs)
    try:
        by_query: dict[str, list[str]] = {}
        for query, passage in pairs:
            by_query.setdefault(query, []).append(passage)
        found: dict[tuple[str, str], float] = {}
        for query, passages in by_query.items():
            verdicts = await score(engine, Job(call=query, query=query, passages=tuple(passages)))
            assert not any(verdict.truncated for verdict in verdicts)
            found |= {(query, passages[verdict.index]): verdict.log_odds for verdict in verdicts}
        return [found[pair] for pair in pairs]
    finally:
        await engine.close()


def two_hundred(most: int = 12) -> list[tuple[str, str]]:
    return [(query, passage) for at, query in enumerate(texts(1, 20, 5)) for passage in texts(100 + at, 10, most)]


@pytest.mark.parametrize("family", sorted(FAMILIES))
async def test_raw_scores_are_those_of_sentence_transformers(family: str, folders: Callable[[str], Path]) -> None:
    folder, pairs = folders(family), two_hundred()
    expected = library(folder, pairs)
    found = await served(open_checkpoint(folder, family), pairs)
    assert found == pytest.approx(expected, abs=TOLERANCE)
    assert max(expected) - min(expected) > 100 * TOLERANCE


async def test_the_shipped_cross_encoder_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network as it is; and once it is exported, the library gives log-odds and relevance themselves, where its
    architecture is registered."""
    register()
    checkpoint, pairs = resolve("limrank-mini-ce", cache_dir=tmp_path / "cache"), two_hundred(60)
    expected, temperature = library(checkpoint.folder, pairs), checkpoint.manifest.temperature
    outputs = await served(checkpoint, pairs)
    assert outputs == pytest.approx(expected, abs=TOLERANCE)
    monkeypatch.setattr("service.models.export.resolve", lambda _: checkpoint)
    export("limrank-mini-ce", tmp_path / "copy")
    log_odds = [output / temperature for output in outputs]
    assert library(tmp_path / "copy", pairs) == pytest.approx(log_odds, abs=TOLERANCE)
    relevance = CrossEncoder(str(tmp_path / "copy"), local_files_only=True, device="cpu").predict(pairs[:10])
    assert relevance.tolist() == pytest.approx(torch.tensor(log_odds[:10]).sigmoid().tolist(), abs=TOLERANCE)
    assert await served(resolve(str(tmp_path / "copy")), pairs[:10]) == pytest.approx(outputs[:10], abs=TOLERANCE)


@pytest.mark.parametrize("family", ["llama", "qwen3"])
async def test_padding_never_decides_where_a_decoder_is_read(family: str, tmp_path: Path) -> None:
    """No padding id at all, one that is also the end of text, and a tokenizer that pads on the left."""
    pairs = two_hundred()[:30]
    for name, settings in (("none", {"pad_token_id": None}), ("end", {"pad_token_id": 2, "eos_token_id": 2})):
        folder = write_classifier(tmp_path / name, family, **settings)
        found = await served(open_checkpoint(folder, name), pairs)
        assert found == pytest.approx(library(folder, pairs, batch_size=1), abs=TOLERANCE)
    config = json.loads((folder / "tokenizer_config.json").read_text()) | {"padding_side": "left"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    assert await served(open_checkpoint(folder, "left"), pairs) == pytest.approx(found, abs=TOLERANCE)


async def test_two_outputs_score_by_their_difference(tmp_path: Path) -> None:
    pairs = two_hundred()[:20]
    folder = write_classifier(tmp_path / "two", "bert", labels=2)
    model = CrossEncoder(str(folder), local_files_only=True, device="cpu")
    outputs = torch.tensor(model.predict(pairs, activation_fn=torch.nn.Identity()))
    checkpoint = open_checkpoint(folder, "two")
    assert checkpoint.score == "own"
    assert await served(checkpoint, pairs) == pytest.approx((outputs[:, 1] - outputs[:, 0]).tolist(), abs=TOLERANCE)
    names = {"id2label": {"0": "Relevant", "1": "irrelevant"}, "label2id": {"Relevant": 0, "irrelevant": 1}}
    _rewrite(folder / "config.json", names)
    turned = await served(open_checkpoint(folder, "two"), pairs)
    assert turned == pytest.approx((outputs[:, 0] - outputs[:, 1]).tolist(), abs=TOLERANCE)


def _rewrite(path: Path, changed: dict[str, Any]) -> None:
    path.write_text(json.dumps((json.loads(path.read_text()) if path.exists() else {}) | changed))


def _saved_by_the_library(folder: Path, **stated: Any) -> Path:
    """The folder as Sentence Transformers' own `save_pretrained` leaves it."""
    CrossEncoder(str(folder), local_files_only=True, device="cpu", **stated).save_pretrained(str(folder))
    return folder


async def test_a_default_prompt_stands_before_the_query_as_in_the_library(tmp_path: Path) -> None:
    pairs = two_hundred()[:20]
    folder = write_classifier(tmp_path / "bert", "bert")
    plain = await served(open_checkpoint(folder, "plain"), pairs)
    _saved_by_the_library(folder, prompts={"web": "web search: "}, default_prompt_name="web")
    expected = library(folder, pairs)
    found = await served(open_checkpoint(folder, "prompted"), pairs)
    assert found == pytest.approx(expected, abs=TOLERANCE)
    assert found != pytest.approx(plain, abs=TOLERANCE)


async def test_query_and_document_styles(tmp_path: Path) -> None:
    """As RankLLaMA is asked; from the config's pair of prompts, or from settings."""
    pairs = two_hundred()[:20]
    folder = write_classifier(tmp_path / "llama", "llama")
    expected = library(folder, [(f"query: {query}", f"document: {passage}") for query, passage in pairs])
    prompts = PairPrompts("query: ", "document: ")
    assert await served(open_checkpoint(folder, "said"), pairs, prompts=prompts) == pytest.approx(expected, abs=1e-4)
    _saved_by_the_library(folder, prompts={"query": "query: ", "document": "document: "})
    assert await served(open_checkpoint(folder, "stated"), pairs) == pytest.approx(expected, abs=TOLERANCE)


@pytest.mark.parametrize(
    ("activation", "kind"),
    [
        (torch.nn.Sigmoid(), "own"),
        (torch.nn.Hardsigmoid(), "own"),
        (torch.nn.Identity(), "order"),
        (torch.nn.Tanh(), "order"),
        (torch.nn.LogSigmoid(), "order"),
        (torch.nn.Softmax(), "order"),  # of one output: 1 for every pair
        (None, "order"),
    ],
)
def test_relevance_is_in_0_to_1_and_says_what_it_is(activation: Any, kind: str, tmp_path: Path) -> None:
    folder = write_classifier(tmp_path / "bert", "bert")
    if activation is not None:
        _saved_by_the_library(folder, activation_fn=activation)
    checkpoint = open_checkpoint(folder, "activated")
    query, passages = "how is the flu treated", ["rest and fluids", "the railway opened in 1825", ""]
    with _service(Settings(model=str(folder)), checkpoint) as url:
        info = httpx.get(f"{url}/info").json()
        ranked = httpx.post(f"{url}/rerank", json={"query": query, "documents": passages}).json()["results"]
        raw = httpx.post(f"{url}/rerank", json={"query": query, "texts": passages, "raw_scores": True}).json()
    assert info["model"]["score"] == kind
    outputs = dict(enumerate(library(folder, [(query, passage) for passage in passages])))
    assert {each["index"]: each["score"] for each in raw} == pytest.approx(outputs, abs=TOLERANCE)
    own = activation if isinstance(activation, torch.nn.Hardsigmoid) else torch.nn.Sigmoid()
    expected = {index: float(own(torch.tensor(output))) for index, output in outputs.items()}
    assert {each["index"]: each["relevance_score"] for each in ranked} == pytest.approx(expected, abs=TOLERANCE)


@contextmanager
def _service(settings: Settings, checkpoint: Checkpoint) -> Iterator[str]:
    composition = create_app(settings, build_engine(settings, checkpoint), checkpoint)
    with serving(composition.app) as url:
        wait_until(lambda: httpx.get(f"{url}/health/ready").status_code == 200)
        yield url


def test_the_older_names_of_the_activation_are_read(tmp_path: Path) -> None:
    folder = write_classifier(tmp_path / "bert", "bert")
    _rewrite(folder / "config.json", {"sbert_ce_default_activation_function": "torch.nn.modules.activation.Sigmoid"})
    assert open_checkpoint(folder, "three").score == "own"
    _rewrite(folder / "config.json", {"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"}})
    assert open_checkpoint(folder, "four").score == "order"


def test_the_activation_is_looked_for_where_the_library_looks(tmp_path: Path) -> None:
    """As ms-marco-MiniLM-L6-v2 has it, with both older names; and names that are not torch's count for nothing."""
    folder = write_classifier(tmp_path / "bert", "bert")
    both = {
        "sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity",
        "sentence_transformers": {"activation_fn": "torch.nn.modules.activation.Sigmoid", "version": "4.1.0"},
    }
    for changed in (
        both,
        {"sentence_transformers": {"version": "4.1.0"}},
        {"sbert_ce_default_activation_function": "mine.Sigmoid"},
        {"sbert_ce_default_activation_function": "torch.nn.Hardsigmoid"},
    ):
        _rewrite(folder / "config.json", changed)
        used: Any = CrossEncoder(str(folder), local_files_only=True, device="cpu").activation_fn
        checkpoint = open_checkpoint(folder, "bert")
        assert checkpoint.classifier is not None
        named = json.loads((folder / "config.json").read_text())["sbert_ce_default_activation_function"]
        said = named.startswith("torch.") or changed is both
        assert checkpoint.classifier.sigmoid == (said and isinstance(used, torch.nn.Sigmoid)), changed
        assert checkpoint.classifier.hard_sigmoid == isinstance(used, torch.nn.Hardsigmoid), changed
    _rewrite(folder / "modules.json", {})
    (folder / "modules.json").write_text(json.dumps(_TRANSFORMER))
    _rewrite(folder / "config_sentence_transformers.json", {"activation_fn": "theirs.Hardsigmoid"})
    assert open_checkpoint(folder, "bert").classifier.hard_sigmoid, "theirs is passed over"  # type: ignore[union-attr]


def test_a_fitted_temperature_is_one_of_the_sigmoid() -> None:
    reading = Classifier(hard_sigmoid=True).reading
    assert reading.score((1.5,), 1.0).relevance == pytest.approx(0.75)
    assert reading.score((1.5,), 2.0).relevance == pytest.approx(float(torch.tensor(0.75).sigmoid()))
    assert [reading.score((far,), 1.0).relevance for far in (-9.0, 9.0)] == [0.0, 1.0]


def test_the_stated_limit_cuts_before_the_models_positions_do(tmp_path: Path) -> None:
    folder = write_classifier(tmp_path / "bert", "bert")
    _rewrite(folder / "tokenizer_config.json", {"model_max_length": 64})
    assert CrossEncoderEngine.load(open_checkpoint(folder, "short")).capabilities.max_model_tokens == 64
    _rewrite(folder / "sentence_bert_config.json", {"max_seq_length": 48})
    assert CrossEncoderEngine.load(open_checkpoint(folder, "shorter")).capabilities.max_model_tokens == 48


@dataclass(frozen=True, slots=True)
class Refused:
    """A folder that is refused, made of a tiny BERT's by another config or by more files."""

    config: dict[str, Any]
    sentence: str
    files: tuple[tuple[str, Any], ...] = ()


_MODULES = [
    {"type": f"sentence_transformers.base.modules.{name}"} for name in ("transformer.Transformer", "dense.Dense")
]
_TRANSFORMER = _MODULES[:1]
_THREE = {"0": "contradiction", "1": "entailment", "2": "neutral"}
REFUSED = {
    "encoder-decoder": Refused(
        {"model_type": "t5", "architectures": ["T5ForConditionalGeneration"], "is_encoder_decoder": True},
        r"is an encoder-decoder \(T5ForConditionalGeneration\), which no engine runs; serve a causal model, or",
    ),
    "encoder-decoder that classifies": Refused(
        {"model_type": "bart", "architectures": ["BartForSequenceClassification"], "is_encoder_decoder": True},
        r"is an encoder-decoder \(BartForSequenceClassification\)",
    ),
    "code of its own": Refused(
        {
            "model_type": "llama_bidirec",
            "architectures": ["LlamaBidirectionalForSequenceClassification"],
            "auto_map": {"AutoModelForSequenceClassification": "llama_bidirectional.LlamaBidirectional"},
        },
        r"needs the code that comes with it \(auto_map in its config.json\), which is never run here; serve a model",
    ),
    "code of its own for a known type": Refused(  # jina-reranker-v1-turbo-en
        {
            "architectures": ["JinaBertForSequenceClassification"],
            "auto_map": {"AutoModelForSequenceClassification": "modeling_bert.JinaBertForSequenceClassification"},
        },
        r"\(JinaBertForSequenceClassification\) needs the code that comes with it",
    ),
    "code of its own under a name of transformers": Refused(  # a bidirectional Llama, which llama would not be
        {
            "model_type": "llama",
            "architectures": ["LlamaBidirectionalForSequenceClassification"],
            "auto_map": {"AutoModelForSequenceClassification": "llama_bidirectional.LlamaBidirectional"},
        },
        r"needs the code that comes with it",
    ),
    "code of its own and no type": Refused(  # jina-reranker-v2-base-multilingual
        {
            "model_type": None,
            "architectures": ["XLMRobertaForSequenceClassification"],
            "auto_map": {"AutoConfig": "configuration_xlm_roberta.XLMRobertaFlashConfig"},
        },
        r"\(XLMRobertaForSequenceClassification\) needs the code that comes with it",
    ),
    "a type of its own": Refused(  # gte-multilingual-reranker-base
        {
            "model_type": "new",
            "architectures": ["NewForSequenceClassification"],
            "auto_map": {"AutoConfig": "configuration.NewConfig"},
        },
        r"\(NewForSequenceClassification\) needs the code that comes with it",
    ),
    "a listwise reranker": Refused(  # jina-reranker-v3
        {"model_type": "qwen3", "architectures": ["JinaForRanking"], "auto_map": {"AutoModel": "modeling.Jina"}},
        r"\(JinaForRanking\) needs the code that comes with it",
    ),
    "an embedding model": Refused(
        {"architectures": ["BertModel"]},
        r"is a BertModel, which has neither a language model's output nor a classifier's, so it scores no pair; serve",
    ),
    "monoT5": Refused(
        {"model_type": "t5", "architectures": ["T5ForConditionalGeneration"], "is_encoder_decoder": True},
        r"is an encoder-decoder \(T5ForConditionalGeneration\)",
    ),
    "an unknown type": Refused({"model_type": "next_year"}, "'next_year', which this version of transformers does not"),
    "three outputs": Refused(
        {"id2label": _THREE},
        "has 3 outputs, but a cross-encoder that reranks has one, .* not contradiction, entailment, neutral; serve",
    ),
    "more modules": Refused({}, "puts Dense behind the network", (("modules.json", _MODULES),)),
    "a chat template": Refused(
        {},
        "writes pairs through a chat template",
        (("modules.json", _TRANSFORMER), ("sentence_bert_config.json", {"modality_config": {"message": {}}})),
    ),
    "a broken file": Refused({}, "modules.json holds no list", (("modules.json", {}),)),
}


def test_weights_that_only_code_of_its_own_reads_are_said_to_need_it(tmp_path: Path) -> None:
    """A known class and type, but auto_map and other tensors, as code with fused layers saves them."""
    folder = write_classifier(tmp_path / "bert", "bert")
    _rewrite(folder / "config.json", {"auto_map": {"AutoModelForSequenceClassification": "modeling.Bert"}})
    tensors = {f"fused.{name}": value for name, value in load_file(folder / "model.safetensors").items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelStoreError, match=r"lacks .*, or it needs the code that comes with it \(auto_map") as error:
        CrossEncoderEngine.load(open_checkpoint(folder, "bert"))
    assert str(error.value).count("\n") == 0


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_no_engine_runs_is_refused_in_one_sentence(
    name: str, folders: Callable[[str], Path], tmp_path: Path
) -> None:
    source, refused = folders("bert"), REFUSED[name]
    folder = tmp_path / "model"
    folder.mkdir()
    for path in source.iterdir():
        (folder / path.name).hardlink_to(path)
    for file, changed in (("config.json", refused.config), *refused.files):
        path = folder / file
        before = json.loads(path.read_text()) if path.exists() else {}
        path.unlink(missing_ok=True)
        path.write_text(json.dumps(changed if isinstance(changed, list) else before | changed))
    with pytest.raises(ModelStoreError, match=refused.sentence) as error:
        open_checkpoint(folder, "refused")
    assert str(error.value).count("\n") == 0
