"""A prompt format: every fixed text around query, document and instruction, and how the answer is read."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from contract.formats.labels import Labels
from contract.formats.template import (
    Around,
    Pieces,
    around,
    check_slots,
    depends_on_call,
    slots_of,
    with_slot_behind_query,
)
from contract.formats.tokenizer import ContractError

WordsAs = Literal["text", "vocabulary"]


@dataclass(frozen=True, slots=True)
class PromptFormat:
    """The prompt of a checkpoint: its text, and how the answer is read.

    `prompt` are its pieces, each encoded alone, with the slots {query}, {document} and {instruction}. They spell out
    chat wrapper and special strings, `<bos>` included; nothing is added. `prompt_without_instruction` is used when
    neither the call nor `default_instruction` gives an instruction; () means that the prompt is then the same. An
    instruction for a prompt without a slot for it is put after the query.

    `open` is the begin-of-think tag at the end of the prompt, `close` the end-of-think tag. Without a `close` the
    answer is read at the end of the prompt. `answer` is fixed text between the tag and the answer, encoded alone.

    `true_words` and `false_words` are the answer's words; the probabilities of several spellings are added. Without
    false words the logit of the one true word is read. `words_as` says whether they are `text`, encoded in its context,
    or literal entries of the `vocabulary`. The score is (log-odds or logit + `offset`) / `scale`. `grades` replaces the
    words by (text, value) of every grade; the score is then their expectation. A format for a sequence classifier,
    whose output is read, needs neither words nor grades.

    `special` are strings of the prompt that must be one token each; `delimiters` are further strings that user text
    must not contain. With `guard_added` user text must not contain any added token, otherwise only those that are
    flagged special. `labels` is the form of this format in version 1 manifests.
    """

    name: str
    prompt: Pieces
    prompt_without_instruction: Pieces = ()
    default_instruction: str | None = None
    open: str = ""
    close: str = ""
    answer: str = ""
    true_words: tuple[str, ...] = ()
    false_words: tuple[str, ...] = ()
    words_as: WordsAs = "text"
    scale: float = 1.0
    offset: float = 0.0
    grades: tuple[tuple[str, float], ...] = ()
    special: tuple[str, ...] = ()
    delimiters: tuple[str, ...] = ()
    guard_added: bool = False
    labels: Labels | None = None

    def __post_init__(self) -> None:
        """Raises ContractError for a format that contradicts itself."""
        check_slots(self.prompt, "prompt", instruction=True)
        if self.prompt_without_instruction:
            check_slots(self.prompt_without_instruction, "prompt_without_instruction", instruction=False)
        elif self.has_instruction_slot and not self.default_instruction:
            raise ContractError(
                "prompt holds {instruction}, but nothing says what stands there when a call has none; write a "
                "default_instruction or a prompt_without_instruction."
            )
        if self.answer and not self.close:
            raise ContractError("answer is text behind close, and there is no close; put it at the end of prompt.")
        self._check_words()
        if self.labels is not None and not self._as_labelled(self.labels):
            object.__setattr__(self, "labels", None)  # the format was changed since it was read

    def _as_labelled(self, labels: Labels) -> bool:
        words = ((labels.true_word,), (labels.false_word,))
        stated = (labels.name, *labels.pieces(), labels.open, labels.close, *words)
        own = (self.name, self.prompt, self.prompt_without_instruction, self.open, self.close)
        plain = self.default_instruction is None and not self.answer and (self.scale, self.offset) == (1.0, 0.0)
        return (*own, self.true_words, self.false_words) == stated and plain and self.words_as == "text"

    def _check_words(self) -> None:
        graded = tuple(text for text, _ in self.grades)
        for name, texts in (("true_words", self.true_words), ("false_words", self.false_words), ("grades", graded)):
            if twice := [text for text in texts if texts.count(text) > 1]:
                raise ContractError(f"{name} hold {twice[0]!r} twice, which would count it twice; write it once.")
        if self.true_words and self.grades:
            raise ContractError("A format has either true_words or grades; write one of them.")
        if self.false_words and not self.true_words:
            raise ContractError("There are false_words, but no true_words; write both, or true_words alone.")
        if len(self.true_words) > 1 and not self.false_words:
            raise ContractError("Without false_words one logit is read, so true_words must hold one word.")
        if not math.isfinite(self.scale) or not math.isfinite(self.offset) or self.scale <= 0:
            raise ContractError(f"scale is {self.scale} and offset {self.offset}; they are numbers, and scale above 0.")
        values = [value for _, value in self.grades]
        if self.grades and (len(set(values)) < 2 or min(values) < 0 or not all(map(math.isfinite, values))):
            raise ContractError(f"grades have the values {values}; they are two numbers or more, none below 0.")
        if self.grades and (self.scale != 1 or self.offset != 0):
            raise ContractError("grades state their values themselves; leave scale and offset out.")

    @property
    def has_instruction_slot(self) -> bool:
        return any("instruction" in slots_of(piece) for piece in self.prompt)

    @property
    def reasons(self) -> bool:
        """True when models of this format can reason before they answer."""
        return bool(self.close)

    @property
    def true_word(self) -> str:
        return self.true_words[0]

    @property
    def false_word(self) -> str:
        return self.false_words[0]

    def pieces(self, instruction: str | None) -> Pieces:
        """The pieces for a call with this instruction, which may be the default one."""
        if not instruction:
            return self.prompt_without_instruction or self.prompt
        return self.prompt if self.has_instruction_slot else with_slot_behind_query(self.prompt)

    def around(self, query: str, instruction: str | None = None) -> Around:
        """The prompt of a call; "" means no instruction."""
        stated = instruction or self.default_instruction
        return around(self.pieces(stated), query, stated)

    @property
    def same_behind(self) -> bool:
        """True when the text after a document is the same for every call, with or without an instruction."""
        forms = [self.prompt, *([self.prompt_without_instruction] if self.prompt_without_instruction else [])]
        behind = {(each.lead, each.trail, each.after) for each in (around(form, "", None) for form in forms)}
        return len(behind) == 1 and not any(depends_on_call(form) for form in forms)

    def text(self, query: str, passage: str, instruction: str | None = None) -> str:
        """The whole prompt, as the reference implementation writes it."""
        return self.around(query, instruction).text(passage)

    def to_json(self) -> dict[str, Any]:
        """The JSON form in manifests and format files; fields with their default value are left out."""
        if self.labels is not None:
            return self.labels.to_json()
        stated = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "labels"}
        defaults = {item.name: item.default for item in fields(self)}
        return {
            name: _plain(value)
            for name, value in stated.items()
            if name in ("name", "prompt") or value != defaults[name]
        }


def labelled(**texts: Any) -> PromptFormat:
    """A format from the fields of `Labels`: text like LimRank's, with labels before query and passage."""
    labels = Labels(**texts)
    prompt, without = labels.pieces()
    return PromptFormat(
        name=labels.name,
        prompt=prompt,
        prompt_without_instruction=without,
        open=labels.open,
        close=labels.close,
        true_words=(labels.true_word,),
        false_words=(labels.false_word,),
        guard_added=True,
        labels=labels,
    )


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


LIMRANK = labelled(**asdict(Labels()))
