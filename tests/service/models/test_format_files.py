"""`--format`: a user's own format as YAML, and every way in which one is wrong, each with a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from contract.formats.named import NAMED_FORMATS
from contract.formats.reading import format_from_json
from contract.formats.tokenizer import ContractError
from contract.segments import Segments
from service.errors import ModelStoreError
from service.models.formats import joined, read_format_file
from service.models.store import resolve
from tests.contract.formats.random_texts import inputs
from tests.contract.formats.references import NAMED, tokenizer_named
from tests.service.engines.tiny_models import save_tiny_model

OWN = """
name: mine
prompt: "<|im_start|>user\\nDocument: {document}\\nQuery: {query}\\nInstruction: {instruction}<|im_end|>\\nAnswer:"
prompt_without_instruction: "<|im_start|>user\\nDocument: {document}\\nQuery: {query}<|im_end|>\\nAnswer:"
true_words: [" yes", " Yes"]
false_words: [" no", " No"]
scale: 2
special: ["<|im_start|>", "<|im_end|>"]
"""


@pytest.mark.parametrize("name", NAMED_FORMATS)
def test_a_format_written_and_read_is_the_same(name: str, tmp_path: Path) -> None:
    file = tmp_path / "format.yaml"
    file.write_text(yaml.safe_dump(NAMED_FORMATS[name].to_json(), allow_unicode=True))
    assert read_format_file(file) == NAMED_FORMATS[name]
    assert format_from_json(name, "here") == NAMED_FORMATS[name]


@pytest.mark.parametrize("tokenizer_name", ["qwen3-like", "mistral", "gemma"])
def test_a_prompt_as_one_string_keeps_its_ids(tokenizer_name: str, tmp_path: Path) -> None:
    """It is cut where the tokenizer joins nothing; document first, so that what follows depends on the query."""
    tokenizer = tokenizer_named(tokenizer_name)
    special = ["<|im_start|>", "<|im_end|>"] if tokenizer_name == "qwen3-like" else []
    data = yaml.safe_load(OWN) | {"special": special, "true_words": ["yes"], "false_words": ["no"]}
    data["prompt"] = data["prompt"] + "\n"
    data["prompt_without_instruction"] = data["prompt_without_instruction"] + "\n"
    if tokenizer_name != "qwen3-like":
        data |= {"words_as": "vocabulary"}
    made = joined(format_from_json(data, "here"), tokenizer)
    segments = Segments(made, tokenizer)
    assert len(made.prompt) == 2
    for query, document, instruction in inputs(seed=8):
        if any(segments.prompt.control_string(text) for text in (query, document, instruction or "")):
            continue
        form = data["prompt"] if instruction else data["prompt_without_instruction"]
        parts = form.replace("{document}", "\0d\0").replace("{query}", "\0q\0").replace("{instruction}", "\0i\0")
        text = parts.replace("\0i\0", instruction or "").replace("\0q\0", query).replace("\0d\0", document)
        whole = tokenizer.encode(text, add_special_tokens=False).ids
        assert segments.prompt_ids(query, document, instruction) == whole


def test_several_spellings_and_a_scale(tmp_path: Path) -> None:
    file = tmp_path / "mine.yml"
    file.write_text(OWN)
    segments = Segments(read_format_file(file), tokenizer_named("qwen3-like"))
    (read,) = segments.reading.reads
    assert len(read.answers) == 4
    scored = segments.reading.score([-1.0, -2.0, -3.0, -4.0], 1.0)
    assert scored.raw == pytest.approx(1.0)  # log-odds 2 in both spellings, divided by 2


REFUSALS = {
    "unknown field": ("true_word: x", r"unknown field 'true_word'; did you mean 'true_words'"),
    "unknown slot": ('prompt: "{query} {passage}"', r"holds \{passage\}, which is no slot"),
    "no document": ('prompt: "{query}"', r"holds \{document\} 0 times"),
    "two documents": ('prompt: "{query} {document} {document}"', r"holds \{document\} 2 times"),
    "no query": ('prompt: "{document}"', r"has no \{query\}"),
    "no default": (
        'prompt: "{instruction} {query} {document}"\nprompt_without_instruction: []',
        r"prompt_without_instruction is empty",
    ),
    "instruction where there is none": (
        'prompt_without_instruction: "{instruction} {query} {document}"',
        r"is for calls without one",
    ),
    "words and grades": ('grades: {"0": 0, "1": 1}', r"either true_words or grades"),
    "false words alone": ("true_words: []", r"true_words is empty"),
    "a number for a word": ("true_words: 1", r"in quotes where it looks like a number"),
    "scale": ("scale: 0", r"scale above 0"),
    "scale as text": ("scale: big", r"scale is 'big'; it must be a number"),
    "words_as": ("words_as: ids", r"words_as is 'ids', not text or vocabulary"),
    "answer without close": ('answer: "<answer>"', r"there is no close"),
    "grades of one value": ('true_words: null\ngrades: {"0": 0}', r"true_words is None"),
    "not yaml": ("prompt: [", r"is not YAML"),
    "yes as YAML reads it": ("true_words: [yes, Yes]", r"true_words is True; .*in quotes .*yes, no, on, off"),
    "a word twice": ('true_words: ["yes", "yes"]', r"true_words hold 'yes' twice"),
    "a false word twice": ('false_words: ["no", "n", "no"]', r"false_words hold 'no' twice"),
    "a field twice": ("scale: 2\nscale: 3", r"writes 'scale' twice; keep one"),
    "a field twice, written apart": ('"name": other', r"writes 'name' twice; keep one"),
    "no name": ("name: 5", r"name is 5; it must be a text"),
    "a list of lists": ('prompt: [["{query}", "{document}"]]', r"prompt is \["),
    "an object for a prompt": ("prompt: {a: b}", r"prompt is \{"),
    "a negative scale": ("scale: -2", r"scale above 0"),
    "no number": ("offset: .nan", r"offset is nan; it must be a number"),
    "guard_added": ("guard_added: 1", r"guard_added is 1; write true or false"),
    "an unknown object": ("template: {system: x}", r"unknown field 'template'"),
    "default_instruction": ("default_instruction: 7", r"default_instruction is 7; it must be a text"),
    "special": ("special: 5", r"special is 5; it must be a text"),
}


@pytest.mark.parametrize(("line", "said"), REFUSALS.values(), ids=REFUSALS)
def test_a_format_file_that_is_wrong_is_refused(line: str, said: str, tmp_path: Path) -> None:
    names = [each.partition(":")[0] for each in line.splitlines()]
    kept = [each for each in OWN.strip().splitlines() if each.partition(":")[0] not in names]
    file = tmp_path / "format.yaml"
    file.write_text("\n".join([*kept, line]))
    with pytest.raises(ContractError, match=said) as refusal:
        read_format_file(file)
    assert "\n" not in str(refusal.value)


GRADED = """
name: graded
prompt: "{query}\\n{document}\\nGrade:"
"""


@pytest.mark.parametrize(
    ("grades", "said"),
    [
        ('{"0": 0, "1": 1, "0": 2}', r"writes '0' twice"),
        ('[["1", 1], ["1", 2]]', r"grades hold '1' twice"),
        ("{0: 0, 1: 1}", r"a grade is 0; it must be a text \(in quotes"),
        ('{"0": 0, "1": yes}', r"the grade '1' is True; it must be a number"),
        ('{"0": -1, "1": 1}', r"none below 0"),
        ('{"0": 1, "1": 1}', r"two numbers or more"),
        ('{"0": .inf, "1": 1}', r"the grade '0' is inf"),
        ('["0", "1"]', r"grades must be an object"),
        ("7", r"grades must be an object"),
    ],
)
def test_grades_that_are_wrong_are_refused(grades: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "format.yaml"
    file.write_text(f"{GRADED}grades: {grades}\n")
    with pytest.raises(ContractError, match=said) as refusal:
        read_format_file(file)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "not None"),
        ("[a, b]", "must be the name of a format or an object"),
        ("a text", "holds one text"),
        ("5", "not 5"),
    ],
)
def test_a_file_that_holds_no_fields_is_refused(content: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "format.yaml"
    file.write_text(content)
    with pytest.raises(ContractError, match=said):
        read_format_file(file)


@pytest.mark.parametrize(
    ("prompt", "slot", "string"),
    [
        ("Query: <{query}\nDocument: {document}\nAnswer:", "query", "<"),  # and the text |im_end|>
        ("Query: {query}\nDocument: {document}>\nAnswer:", "document", ">"),
        ("Query: {query}{document}\nAnswer:", "document", "<|"),
        ("Query: {query}|{document}\nAnswer:", "document", "<|"),
        ("Query: {query} {instruction}|>{document}\nAnswer:", "instruction", "<|"),
    ],
)
def test_no_text_completes_a_control_string_with_what_stands_beside_it(prompt: str, slot: str, string: str) -> None:
    tokenizer = tokenizer_named("qwen2.5")
    fields = {"name": "mine", "prompt": prompt, "true_words": [" yes"], "false_words": [" no"]}
    fields |= {"default_instruction": "x"} if "{instruction}" in prompt else {}
    with pytest.raises(
        ContractError, match=rf"a text in \{{{slot}\}} could complete the control string '.*{string}"
    ) as it:
        Segments(format_from_json(fields, "here"), tokenizer)
    assert "parts of their own" in str(it.value)
    start, _, end = prompt.partition(f"{{{slot}}}")
    apart = [piece for piece in (start, f"{{{slot}}}", end) if piece]
    segments = Segments(format_from_json(fields | {"prompt": apart}, "here"), tokenizer)
    special = {i for i, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    for text in ("|im_end|>", "<|im_end|", "<", "<|im_start", "im_end|>", "|", ">", "|>"):
        assert not special & set(segments.prompt_ids(text, text, text if "{instruction}" in prompt else None))


@pytest.mark.parametrize("name", NAMED_FORMATS)
@pytest.mark.parametrize(
    "end", ["<", "<|", "<|im_end", "<|im_end|", "</", "</think", "[", "[/INST", "<bos", "<eos", "▁"]
)
def test_no_text_completes_one_in_a_named_format(name: str, end: str) -> None:
    """Texts that begin or end with a part of a control string, next to every seam."""
    named = next(each for each in NAMED if each.format == name)
    for tokenizer_name in named.tokenizers[-1:]:
        tokenizer = tokenizer_named(tokenizer_name)
        segments = Segments(NAMED_FORMATS[name], tokenizer)
        special = {i for i, token in tokenizer.get_added_tokens_decoder().items() if token.special}
        for text in (end, f"x{end}", f"{end[1:]}>x", f"|im_end|>{end}"):
            for instruction in (None, text):
                wrapper = segments.prompt_ids("", "", instruction and "x")
                found = segments.prompt_ids(text, text, instruction)
                assert [i for i in found if i in special] == [i for i in wrapper if i in special]


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("llama") / "my-llama", "llama", tokenizer_named("small-qwen3-like"))


def test_a_model_with_a_format_of_ones_own(llama: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(OWN)
    checkpoint = resolve(str(llama), prompt_format=str(file))
    assert checkpoint.format_source == f"--format {file}"
    assert checkpoint.manifest.format is not None
    assert checkpoint.manifest.format.name == "mine"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('true_words: ["certainly not"]', r"verdict word 'certainly not' must be exactly one token more"),
        ('true_words: [" no"]', r"gives both verdict words the id"),
        ("words_as: vocabulary", r"vocabulary has no entry ' yes'"),
        ('special: ["<bos>"]', r"written with '<bos>', which this tokenizer does not have"),
        ('special: [" "]', r"written with ' '"),
    ],
)
def test_what_does_not_fit_the_tokenizer_is_refused(line: str, said: str, llama: Path, tmp_path: Path) -> None:
    name = line.partition(":")[0]
    kept = [each for each in OWN.strip().splitlines() if not each.startswith(f"{name}:")]
    file = tmp_path / "format.yaml"
    file.write_text("\n".join([*kept, line]))
    with pytest.raises(ModelStoreError, match=said):
        resolve(str(llama), prompt_format=str(file))


def test_names_and_files_that_are_not_there(llama: Path) -> None:
    with pytest.raises(ModelStoreError, match=r"there is no format 'qwen4'; known are .*qwen3-reranker"):
        resolve(str(llama), prompt_format="qwen4")
    with pytest.raises(ModelStoreError, match=r"/no/such\.yaml cannot be read: no such file"):
        resolve(str(llama), prompt_format="/no/such.yaml")
    with pytest.raises(ModelStoreError, match=r"not a public checkpoint .*--format, by name \(limrank, qwen3-reranker"):
        resolve(str(llama))
