"""What a model's name leads to, and every way in which it leads nowhere; each refusal is a sentence."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from contract.checkpoint.manifest import FILE_NAME, Manifest, read_manifest, tokenizer_sha256
from contract.prompt import LIMRANK
from contract.verdict import VerdictTokens
from service.engines.transformers.engine import TransformersEngine
from service.errors import ModelStoreError
from service.models.checkpoint import Checkpoint
from service.models.embedded import default_name
from service.models.store import resolve

Damage = Callable[[Path], None]
REPOSITORY = Path(__file__).parents[3]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def tiny(tiny_gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return resolve("smollm2-135m-instruct", gguf=tiny_gguf, cache_dir=tmp_path_factory.mktemp("cache"))


@pytest.fixture
def folder(tiny: Checkpoint, tmp_path: Path) -> Path:
    """A model folder of one's own, with a manifest."""
    return Path(shutil.copytree(tiny.folder, tmp_path / "my-model"))


def manifest_of(folder: Path) -> Manifest:
    manifest = read_manifest(folder)
    assert manifest is not None
    return manifest


def test_the_embedded_model_says_what_it_is(embedded_checkpoint: Checkpoint) -> None:
    manifest = embedded_checkpoint.manifest
    assert embedded_checkpoint.name == "smollm2-135m-instruct"
    assert (manifest.kind, manifest.format) == ("causal", LIMRANK)
    assert (manifest.licences, manifest.recipe) == (("Apache-2.0",), "none: untrained base")
    assert dict(manifest.scores) == {}
    assert manifest.verdict_tokens == VerdictTokens(true=2629, false=7065)
    assert manifest.tokenizer_sha256 == tokenizer_sha256(embedded_checkpoint.folder)
    assert manifest.base == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert not manifest.non_commercial


def test_no_name_is_the_embedded_default(tiny: Checkpoint, tiny_gguf: Path, tmp_path: Path) -> None:
    assert resolve(gguf=tiny_gguf, cache_dir=tiny.folder.parent, weights=tmp_path) == tiny
    assert default_name(tmp_path) == "smollm2-135m-instruct"


def test_a_local_folder_is_served_under_its_own_name(folder: Path) -> None:
    checkpoint = resolve(str(folder))
    assert (checkpoint.folder, checkpoint.name, checkpoint.revision) == (folder, "my-model", None)
    assert checkpoint.manifest == manifest_of(folder)


def test_a_relative_folder_wins_over_a_hub_id(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent.parent)
    assert resolve(f"{folder.parent.name}/{folder.name}").folder == folder


def remove(name: str) -> Damage:
    return lambda folder: (folder / name).unlink()


def cut_weights(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def spoil_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{}", encoding="utf-8")


def leave_only_an_adapter(folder: Path) -> None:
    (folder / "config.json").rename(folder / "adapter_config.json")


def change_temperature(folder: Path) -> None:
    stated = json.loads((folder / FILE_NAME).read_text(encoding="utf-8"))
    (folder / FILE_NAME).write_text(json.dumps(stated | {"temperature": 2.0}), encoding="utf-8")


def change_tokenizer(folder: Path) -> None:
    with (folder / "tokenizer.json").open("a", encoding="utf-8") as file:
        file.write("\n")


def swap_true_and_false(folder: Path) -> None:
    manifest = manifest_of(folder)
    tokens = manifest.verdict_tokens
    assert tokens is not None
    replace(manifest, verdict_tokens=VerdictTokens(true=tokens.false, false=tokens.true)).write(folder)


def state_no_format(folder: Path) -> None:
    replace(manifest_of(folder), format=None).write(folder)


REFUSALS = [
    (remove("config.json"), r"no config\.json"),
    (remove("tokenizer.json"), r"no tokenizer\.json"),
    (remove("model.safetensors"), r"no \*\.safetensors"),
    (remove(FILE_NAME), r"no reranker\.json and 'my-model' is not a public checkpoint"),
    (cut_weights, r"model\.safetensors is not a whole safetensors file"),
    (spoil_tokenizer, r"tokenizer\.json cannot be read"),
    (leave_only_an_adapter, r"holds an adapter and no model"),
    (change_temperature, r"fingerprint .* its temperature\."),
    (change_tokenizer, r"another tokenizer: tokenizer_sha256"),
    (swap_true_and_false, r"verdict_tokens are true \d+, false \d+, but the tokenizer gives true \d+, false \d+"),
    (state_no_format, r"must state format and verdict_tokens"),
]


@pytest.mark.parametrize(("damage", "said"), REFUSALS, ids=[said for _, said in REFUSALS])
def test_a_folder_that_is_not_what_it_says_is_refused(folder: Path, damage: Damage, said: str) -> None:
    damage(folder)
    with pytest.raises(ModelStoreError, match=said) as refusal:
        resolve(str(folder))
    assert str(refusal.value).endswith(".")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("model", ["limrank-big", "./nowhere", "/no/such/folder", "a/b/c", "..", "owner/"])
def test_a_name_that_leads_nowhere_is_refused(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelStoreError, match=r"smollm2-135m-instruct|no config\.json"):
        resolve(model)


def test_a_file_is_not_a_model_folder(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").touch()
    with pytest.raises(ModelStoreError, match="nor a folder"):
        resolve(str(tmp_path / "model.gguf"))


def test_only_hub_models_have_revisions(folder: Path) -> None:
    for model in ("smollm2-135m-instruct", str(folder)):
        with pytest.raises(ModelStoreError, match="has no revision 'v1'"):
            resolve(model, revision="v1")


@pytest.mark.parametrize("hub_id", ["songtingyu/limrank", "jhu-clsp/rank1-7b"])
def test_a_public_checkpoint_without_a_manifest_is_known_by_its_folder(folder: Path, hub_id: str) -> None:
    (folder / FILE_NAME).unlink()
    public = folder.parent / hub_id
    public.parent.mkdir()
    folder.rename(public)
    checkpoint = resolve(str(public))
    assert checkpoint.name == hub_id
    assert checkpoint.manifest.format == LIMRANK
    assert checkpoint.manifest.tokenizer_sha256 == tokenizer_sha256(public)


def hub_cache(home: Path, model: str, folder: Path) -> Path:
    """Lay a model out as huggingface_hub does: refs name a commit, snapshots link to blobs."""
    root = home / "hub" / f"models--{model.replace('/', '--')}"
    snapshot = root / "snapshots" / COMMIT
    for place in (root / "refs", root / "blobs", snapshot):
        place.mkdir(parents=True)
    for ref in ("main", "v1"):
        (root / "refs" / ref).write_text(COMMIT)
    for number, file in enumerate(sorted(folder.iterdir())):
        blob = root / "blobs" / f"{number:040x}"
        shutil.copyfile(file, blob)
        (snapshot / file.name).symlink_to(Path("../../blobs") / blob.name)
    return snapshot


ASK = """
import sys
from service.errors import ModelStoreError
from service.models.store import resolve
for asked in sys.argv[1:]:
    model, _, revision = asked.partition("@")
    try:
        found = resolve(model, revision=revision or None)
        print(found.name, found.revision, found.folder, found.manifest.format.name, sep="|")
    except ModelStoreError as error:
        print(error)
"""


def test_hub_models_come_from_the_local_cache_when_offline(tiny: Checkpoint, tmp_path: Path) -> None:
    """In a process of its own: the hub library reads its variables when it is imported."""
    bare = Path(shutil.copytree(tiny.folder, tmp_path / "bare"))
    (bare / FILE_NAME).unlink()
    ours = hub_cache(tmp_path, "someone/reranker", tiny.folder)
    public = hub_cache(tmp_path, "songtingyu/limrank", bare)
    hub_cache(tmp_path, "someone/chat-model", bare)
    asked = ["someone/reranker", "someone/reranker@v1", f"someone/reranker@{COMMIT}", "songtingyu/limrank"]
    asked += ["someone/chat-model", "someone/else", "someone/reranker@v2", "some--one/else"]
    environment = os.environ | {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    environment.pop("HF_HUB_CACHE", None)
    command = [sys.executable, "-c", ASK, *asked]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *found, chat_model, absent, revision, invalid = done.stdout.splitlines()
    assert found[:3] == [f"someone/reranker|{COMMIT}|{ours}|limrank"] * 3
    assert found[3:] == [f"songtingyu/limrank|{COMMIT}|{public}|limrank"]
    assert "'someone/chat-model' is not a public checkpoint" in chat_model
    assert "'someone/else' cannot be had from the hub: it is not in the local cache" in absent
    assert "'someone/reranker' at revision 'v2' cannot be had" in revision
    assert "'some--one/else' cannot be had from the hub" in invalid


def test_code_that_comes_with_a_model_is_never_run(folder: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    for name in ("configuration", "modeling"):
        (folder / f"{name}_own.py").write_text(f"open({str(ran)!r}, 'w')\nclass Own: pass\n")
    config = json.loads((folder / "config.json").read_text())
    replace(manifest_of(folder), config=None).write(folder)  # so that the configuration is not what is refused
    own = {"AutoConfig": "configuration_own.Own", "AutoModelForCausalLM": "modeling_own.Own"}
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "own", "auto_map": own}))
    with pytest.raises(ModelStoreError, match=r"cannot load .*never code that comes with a model"):
        TransformersEngine.load(resolve(str(folder)))
    assert not ran.exists()
