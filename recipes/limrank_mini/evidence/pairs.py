"""Pairs of query and passage with their labels, drawn from groups and from MedQuAD's records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from contract.records import Difficulty, Intent, NegativeType, Record
from contract.scored_groups import ScoredGroup
from recipes.limrank_mini.evidence.scoring import PairScorer
from recipes.limrank_mini.general.injected import INJECTED
from recipes.limrank_mini.general.sentences import count_words, cut, holds, place_of, sentences
from recipes.limrank_mini.general.sources import Question
from synth.run.draws import choose, draw

LEAST_LEFT = 25  # words of a passage whose answer was taken out
LONGEST = 300  # words of a passage before it is cut to tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A record before its trace. `evidence` is the answering sentence, if the data names one. `traced`: whether it
    trains reasoning; `reason` is why it does not answer, if that is known without looking."""

    id: str
    query: str
    passage: str
    relevant: bool
    source: str
    licence: str
    domain: str
    instruction: str | None = None
    evidence: str | None = None
    negative_type: NegativeType | None = None
    intent: Intent = Intent.DIRECT
    traced: bool = False
    reason: str | None = None

    def record(self, trace: str | None) -> Record:
        return Record(
            id=self.id,
            query=self.query,
            passage=self.passage,
            instruction=self.instruction,
            relevant=self.relevant,
            trace=trace,
            source=self.source,
            licence=self.licence,
            domain=self.domain,
            difficulty=Difficulty.DIRECT if self.instruction is None else Difficulty.INSTRUCTION,
            negative_type=None if self.relevant else self.negative_type,
            intent=self.intent,
        )


def labelled_pairs(group: ScoredGroup, question: Question | None, negatives: int) -> Iterator[Pair]:
    """The relevant passage of a group and some of its negatives, drawn by id, but an injected group's injected ones."""
    kind = group.id.split("/", 1)[0]
    base = _base(group, "0", group.passages[0])
    evidence = None if question is None or not holds(base.passage, question.evidence or "") else question.evidence
    indirect = Intent.INDIRECT if kind in ("long", "claim") else Intent.DIRECT
    yield replace(base, relevant=True, evidence=evidence, intent=indirect)
    places = list(range(1, len(group.passages)))
    if kind == "injected":
        places = [*places[:INJECTED], places[-1]]
    else:
        places.sort(key=lambda place: draw(group.id, "record", str(place)))
    for place in places[:negatives]:
        yield replace(
            _base(group, str(place), group.passages[place]), negative_type=NegativeType.BI_ENCODER, intent=indirect
        )


def without_answer(group: ScoredGroup, question: Question) -> Pair | None:
    """The relevant passage without the sentence that answers: on the subject, and no answer. None where the data names
    no answer, or where the rest still holds it."""
    passage = group.passages[0]
    if question.answer is None or question.evidence is None or place_of(question.evidence, passage) is None:
        return None
    told = question.evidence
    rest = " ".join(part for part in sentences(passage) if not holds(part, told) and not holds(told, part))
    if count_words(rest) < LEAST_LEFT or holds(rest, question.answer) or rest == passage:
        return None
    reason = "the passage does not say that"
    return replace(_base(group, "without", rest), negative_type=NegativeType.PARTIAL, reason=reason)


def list_pairs(group: ScoredGroup, count: int) -> Iterator[Pair]:
    """Some pairs of an unlabelled list, drawn by id; `taught` gives them verdicts."""
    places = sorted(range(len(group.passages)), key=lambda place: draw(group.id, "taught", str(place)))[:count]
    for place in places:
        yield replace(_base(group, str(place), group.passages[place]), intent=Intent.INDIRECT)


def taught(pairs: Sequence[Pair], scorer: PairScorer) -> Iterator[Pair]:
    """The pairs with verdicts drawn with the teacher's probability, not cut at a bound, so that the file as a whole
    expresses degrees of relevance (as `limrank-synth distil` does)."""
    scores = scorer.scores([(pair.query, pair.passage) for pair in pairs])
    for pair, score in zip(pairs, scores, strict=True):
        yield replace(pair, relevant=draw(pair.id, "verdict") < scorer.probability(score))


def medquad_pairs(records: Iterable[Record], count: int) -> Iterator[Pair]:
    """Up to `count` of the records of `recipes.limrank_mini import`, drawn by id, without their traces."""
    drawn = sorted(records, key=lambda record: draw(record.id, "evidence"))
    for record in drawn[:count]:
        yield Pair(
            id=record.id,
            query=record.query,
            passage=cut(record.passage.strip(), LONGEST),
            relevant=record.relevant,
            source=record.source,
            licence=record.licence,
            domain=record.domain,
            instruction=record.instruction,
            negative_type=record.negative_type,
            intent=record.intent,
        )


NEUTRAL = (
    "Find the passage that answers the question.",
    "A passage is relevant if it answers what is asked, not if it merely mentions the same things.",
    "Look for text that helps someone who asks this.",
)
NUMBER = "Only passages that give a number count."
_LANGUAGES = ("German", "French", "Spanish", "Chinese", "Russian")
MULTILINGUAL = "multilingual"  # the domain whose passages are in other languages


def instructed(pair: Pair) -> Pair:
    """The pair under an instruction whose effect on the label is certain: one that changes nothing, one that wants a
    number in the passage, or one that wants another language."""
    kind = draw(pair.id, "instruction")
    if kind < 0.5:
        return replace(pair, instruction=choose(NEUTRAL, pair.id, "neutral"))
    if kind < 0.75:
        has = _numbered(pair.passage)
        reason = pair.reason if has else "the passage gives no number"
        return replace(pair, instruction=NUMBER, relevant=pair.relevant and has, reason=reason)
    foreign = pair.domain == MULTILINGUAL
    language = "English" if foreign or kind < 0.875 else choose(_LANGUAGES, pair.id, "language")
    same = (language == "English") is not foreign
    reason = pair.reason if same else f"the passage is not in {language}"
    wanted = f"Only passages in {language} count."
    return replace(pair, instruction=wanted, relevant=pair.relevant and same, reason=reason)


def still_holds(pair: Pair, whole: str) -> bool:
    """Whether what the instruction counts is the same in the cut passage as in the whole one."""
    return pair.instruction != NUMBER or _numbered(pair.passage) == _numbered(whole)


def _numbered(text: str) -> bool:
    return any(character.isdigit() for character in text)


def question_of(group: ScoredGroup, questions: Mapping[str, Question]) -> Question | None:
    """The data's own query that a labelled or an injected group was made from."""
    return questions.get(group.id.removeprefix("injected/").removeprefix("general/"))


def _base(group: ScoredGroup, name: str, passage: str) -> Pair:
    return Pair(
        id=f"{group.id}/{name}",
        query=group.query,
        passage=passage.strip(),
        relevant=False,
        source=group.source,
        licence=group.licence,
        domain=group.domain,
        instruction=group.instruction,
    )
