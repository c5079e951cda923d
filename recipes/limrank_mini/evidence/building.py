"""Builds the file of records: pairs are drawn, their closest stretches found, traces written and checked."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median

from cli.output import write_whole
from contract.files import write_text
from contract.records import Record, licence_parts, read_records, write_records
from contract.scored_groups import ScoredGroup, read_scored_groups
from recipes.limrank_mini.evidence.checking import fault
from recipes.limrank_mini.evidence.pairs import (
    MULTILINGUAL,
    Pair,
    instructed,
    labelled_pairs,
    list_pairs,
    medquad_pairs,
    question_of,
    still_holds,
    taught,
    without_answer,
)
from recipes.limrank_mini.evidence.quotations import Span, Tokens, stretch_of, stretches, window
from recipes.limrank_mini.evidence.reasons import PRAISES, Reasons
from recipes.limrank_mini.evidence.scoring import PairScorer, Report
from recipes.limrank_mini.evidence.wording import asked, kind_of, trace
from recipes.limrank_mini.general.injected import DEMANDS
from recipes.limrank_mini.general.sentences import normal
from recipes.limrank_mini.general.sources import GeneralData, read_general
from synth.run.draws import choose, draw

LONGEST_TRACE = 128  # tokens
_LENGTHS = (0.2, 0.4, 0.6, 0.6, 1.0)  # of `passage_tokens`: what passages are cut to, drawn by id
_SHORTEST_PASSAGE = 40  # tokens
_BEGINNING = 120  # characters by which a passage is known again when it was cut


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """The most groups or records of each kind, pairs of each, and shares in percent."""

    labelled: int = 9_000
    long: int = 1_000
    claim: int = 800
    injected: int = 700
    list: int = 2_500
    medquad_records: int = 8_000
    negatives: int = 2
    list_pairs: int = 3
    direct_percent: int = 40
    instructed_percent: int = 12
    without_answer_percent: int = 25
    passage_tokens: int = 224

    def of(self, kind: str) -> int:
        """The most groups of a kind; MedQuAD's groups are not used, its records are."""
        return {
            "general": self.labelled,
            "long": self.long,
            "claim": self.claim,
            "injected": self.injected,
            "list": self.list,
        }.get(kind, 0)


def build(
    general: Path,
    groups: Path,
    medquad: Path | None,
    out: Path,
    *,
    scorer: PairScorer,
    tokens: Tokens,
    amounts: Amounts,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, object]:
    """Writes `out` and `<out>.manifest.json`, which it returns. The same inputs give the same records.

    `general` is the data's folder, `groups` a file of `recipes.limrank_mini.general`, `medquad` the records of
    `recipes.limrank_mini import`.
    """
    known = read_general(general)
    pairs = list(_drawn(known, groups, medquad, scorer, amounts))
    say(f"{len(pairs)} pairs, {sum(pair.traced for pair in pairs)} of them with a trace; finding the closest sentences")
    titles = {passage.text[:_BEGINNING]: len(passage.text) - len(passage.body) for passage in known.passages}
    maker = _Maker(pairs, tokens, amounts.passage_tokens, titles)
    found = maker.closest(scorer, lambda done, of: say(f"scored {done} of {of}"))
    made = _Counts()
    write_whole(out, write_records, _records(maker, pairs, found, tokens, made))
    content = made.content(amounts)
    write_text(out.with_name(f"{out.name}.manifest.json"), json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    say(f"{content['records']} records; traces rejected: {content['rejected traces']}")
    return content


def _drawn(
    general: GeneralData, groups: Path, medquad: Path | None, scorer: PairScorer, amounts: Amounts
) -> Iterator[Pair]:
    """All pairs, in an order that mixes the kinds."""
    questions = {question.id: question for question in general.questions}
    pairs: list[Pair] = []
    listed: list[Pair] = []
    for group in _sampled(groups, amounts):
        question = question_of(group, questions)
        if group.positive is None:
            listed += list_pairs(group, amounts.list_pairs)
            continue
        pairs += [_moded(pair, amounts) for pair in labelled_pairs(group, question, amounts.negatives)]
        if (
            question is not None
            and group.id.startswith("general/")
            and 100 * draw(group.id, "without") < amounts.without_answer_percent
        ):
            missing = without_answer(group, question)
            pairs += [] if missing is None else [_moded(missing, amounts)]
    if medquad is not None:
        pairs += [_moded(pair, amounts) for pair in medquad_pairs(read_records(medquad), amounts.medquad_records)]
    pairs += taught(listed, scorer)
    pairs.sort(key=lambda pair: draw(pair.id, "order"))
    yield from pairs


def _sampled(path: Path, amounts: Amounts) -> list[ScoredGroup]:
    """The first groups of each kind, in the order of the file, which is drawn already."""
    taken: Counter[str] = Counter()
    kept = []
    for group in read_scored_groups(path):
        kind = group.id.split("/", 1)[0]
        if taken[kind] < amounts.of(kind):
            taken[kind] += 1
            kept.append(group)
    return kept


def _moded(pair: Pair, amounts: Amounts) -> Pair:
    """The pair for one mode, and for a share of general text under an instruction."""
    pair = replace(pair, traced=100 * draw(pair.id, "mode") >= amounts.direct_percent)
    general = pair.id.startswith("general/") and pair.instruction is None
    return instructed(pair) if general and 100 * draw(pair.id, "instructed") < amounts.instructed_percent else pair


class _Maker:
    """Finds what to quote, cuts passages around it and writes traces."""

    def __init__(self, pairs: Sequence[Pair], tokens: Tokens, passage_tokens: int, titles: Mapping[str, int]) -> None:
        """`titles`: the beginning of a passage -> the length of the title before its text."""
        self._pairs, self._tokens, self._passage_tokens, self._titles = pairs, tokens, passage_tokens, titles
        self._reasons = Reasons(dict.fromkeys(pair.passage for pair in pairs))

    def closest(self, scorer: PairScorer, report: Report) -> dict[str, Span]:
        """For each traced pair the stretch to quote, by the pair's id; no entry where nothing can be quoted."""
        found: dict[str, Span] = {}
        asked: list[tuple[str, Span, str, str]] = []
        for pair in self._pairs:
            if not pair.traced:
                continue
            if (place := answering(pair)) is not None:
                found[pair.id] = place
                continue
            passage, _ = self.shortened(pair, None)  # only what the model will read
            title = self._titles.get(passage[:_BEGINNING], 0)
            asked += [(pair.id, span, pair.query, passage[slice(*span)]) for span in stretches(passage, title)]
        scores = scorer.scores([(query, text) for _, _, query, text in asked], report)
        best: dict[str, float] = {}
        for (name, span, _, _), score in zip(asked, scores, strict=True):
            if score > best.get(name, float("-inf")):
                best[name], found[name] = score, span
        return found

    def shortened(self, pair: Pair, keep: Span | None) -> tuple[str, Span | None]:
        """The passage cut to a drawn length."""
        share = choose(_LENGTHS, pair.id, "length")
        most = max(_SHORTEST_PASSAGE, int(share * self._passage_tokens))
        return window(pair.passage, keep, most, self._tokens)

    def made(self, pair: Pair, keep: Span) -> tuple[Pair, str, str | None]:
        """The pair with its cut passage, its trace, and what is wrong with that."""
        passage, place = self.shortened(pair, keep)
        assert place is not None
        quotation = " ".join(passage[slice(*place)].split())
        cut = replace(pair, passage=passage)
        said = asked(pair.query, quotation)
        reason = None if pair.relevant else self._why(cut, said, quotation)
        kind, instructed_too = kind_of(pair.query, pair.id), pair.instruction is not None
        text = trace(pair.id, pair.query, said, quotation, reason=reason, kind=kind, instructed=instructed_too)
        return cut, text, fault(text, said, cut.query, passage, relevant=cut.relevant)

    def _why(self, pair: Pair, said: str, quotation: str) -> str:
        if pair.reason is not None:
            return pair.reason
        if pair.id.startswith("injected/") and _inserted(quotation, pair.query):
            return PRAISES
        return self._reasons.why(said, pair.passage, pair.negative_type, foreign=pair.domain == MULTILINGUAL)


def answering(pair: Pair) -> Span | None:
    """The stretch of the sentence that the data names as the answer; of several, the one closest to the query's
    words."""
    if pair.evidence is None:
        return None
    words = set(normal(pair.query).split())
    return stretch_of(pair.evidence, pair.passage, lambda said: len(words & set(normal(said).split())))


def _inserted(quotation: str, query: str) -> bool:
    """Whether a quotation from an injected passage is the insertion itself."""
    said, asked = normal(quotation), normal(query)
    return asked in said or any(normal(demand) in said or said in normal(demand) for demand in DEMANDS)


def _records(
    maker: _Maker, pairs: Sequence[Pair], found: dict[str, Span], tokens: Tokens, made: _Counts
) -> Iterator[Record]:
    for pair in pairs:
        if not pair.traced:
            passage, _ = maker.shortened(pair, answering(pair))
            cut, text, wrong = replace(pair, passage=passage), None, None
        elif pair.id in found:
            cut, text, wrong = maker.made(pair, found[pair.id])
        else:
            made.rejected["nothing to quote"] += 1
            continue
        length = 0 if text is None else tokens(text)
        if wrong is None and length <= LONGEST_TRACE and still_holds(cut, pair.passage):
            yield made.count(cut.record(text), length)
        else:
            made.rejected[wrong or ("too long" if length > LONGEST_TRACE else "the number was cut off")] += 1


class _Counts:
    """Counts records as they are written."""

    def __init__(self) -> None:
        self.rejected: Counter[str] = Counter()
        self._kinds: Counter[str] = Counter()
        self._licences: Counter[str] = Counter()
        self._sources: Counter[str] = Counter()
        self._lengths: list[int] = []
        self._relevant = self._instructed = 0

    def count(self, record: Record, trace_tokens: int) -> Record:
        self._kinds[f"{record.id.split('/', 1)[0]}, {'direct' if record.trace is None else 'reasoning'}"] += 1
        self._licences.update(licence_parts(record.licence))
        self._sources[record.source] += 1
        self._relevant += record.relevant
        self._instructed += record.instruction is not None
        if record.trace is not None:
            self._lengths.append(trace_tokens)
        return record

    def content(self, amounts: Amounts) -> dict[str, object]:
        return {
            "records": sum(self._kinds.values()),
            "relevant": self._relevant,
            "under an instruction": self._instructed,
            "kinds": dict(self._kinds.most_common()),
            "trace tokens, median": median(self._lengths) if self._lengths else None,
            "rejected traces": dict(self.rejected.most_common()),
            "licences": dict(self._licences.most_common()),
            "sources": dict(self._sources.most_common()),
            "amounts": asdict(amounts),
        }
