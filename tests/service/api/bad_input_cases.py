"""Requests that are wrong, or odd and allowed, and what the service answers them: one table for every engine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.service.api.bad_input import BODIES, FIELDS, GOOD, Case, body_with, dumped
from tests.service.http.packing import PACKERS, raw_deflate

# Values of each kind, for the fields that take another.
WRONG: dict[str, Any] = {
    "string": "5",
    "number": 5,
    "fraction": 1.5,
    "boolean": True,
    "list": ["direct"],
    "object": {"Left": 1},
}
REFUSED = {"documents": 400, "texts": 422, "passages": 400}
DEEP = 20_000


def cases(max_documents: int, max_body_bytes: int) -> list[Case]:
    """The whole table, for a service with these limits and no limit on model names."""
    return [
        *_queries(),
        *_lists(max_documents),
        *_not_json(),
        *_sizes(max_body_bytes),
        *_texts(),
        *_wrong_types(),
        *_numbers(),
        *_own_scores(),
        *_thresholds(),
        *_switches(),
        *_nulls(),
        *_shapes(),
        *_object_documents(),
        *_headers(),
    ]


def _queries() -> Iterator[Case]:
    for name, text in (("empty", ""), ("blank", " \n\t\u00a0")):
        yield Case(f"{name} query", 400, body_with(query=text), ("query must not be empty",), "query")
        yield Case(f"{name} query, texts", 422, body_with("texts", query=text), ("query must not be empty",))
        yield Case(
            f"{name} query, passages",
            400,
            body_with("passages", query={"text": text}),
            ("query.text must not",),
            "query.text",
        )
        yield Case(
            f"{name} instruction", 400, body_with(instruction=text), ("instruction must not be empty",), "instruction"
        )
    for shape, body in BODIES.items():
        without = {key: value for key, value in body.items() if key != "query"}
        yield Case(f"no query, {shape}", REFUSED[shape], dumped(without), ("query is missing",), "query")
    yield Case("no query text", 400, body_with("passages", query={}), ("query.text is missing",), "query.text")


def _lists(limit: int) -> Iterator[Case]:
    for shape in BODIES:
        too_many = [{"text": "a"}] * (limit + 1) if shape == "passages" else ["a"] * (limit + 1)
        says = (shape, f"{limit + 1} items", f"limit of {limit}")
        yield Case(
            f"empty list of {shape}", 400, body_with(shape, **{shape: []}), (f"{shape} must not be empty",), shape
        )
        yield Case(f"too many {shape}", 413, body_with(shape, **{shape: too_many}), says, shape)
    for name, text in (("empty", ""), ("blank", " \n")):
        blank = [text, "a red apple", text]
        yield Case(f"{name} document", 200, body_with(documents=blank), results=3)
        yield Case(f"{name} text", 200, body_with("texts", texts=blank), results=3)
        yield Case(
            f"{name} passage", 200, body_with("passages", passages=[{"text": text} for text in blank]), results=3
        )
    yield Case("only blank documents", 200, body_with(documents=["", ""]), results=2)


def _not_json() -> Iterator[Case]:
    says = ("not valid JSON", "line 1")
    yield Case("empty body", 400, b"", ("body is empty",))
    yield Case("blank body", 400, b"  ", ("not valid JSON",))
    yield Case("text", 400, b"query=red&documents=apple", says)
    yield Case("cut off", 400, dumped(GOOD)[:-5], says)
    yield Case("two values", 400, dumped(GOOD) * 2, says)
    yield Case("single quotes", 400, b"{'query': 'red'}", says)
    yield Case("not UTF-8", 400, b'{"query": "\xff", "documents": ["a"]}', ("not valid JSON", "UTF-8"))
    yield Case("UTF-16", 400, json.dumps(GOOD).encode("utf-16"), ("not valid JSON",))
    for name, body in (
        ("list", b"[]"),
        ("string", b'"red"'),
        ("number", b"5"),
        ("null", b"null"),
        ("boolean", b"true"),
    ):
        yield Case(f"a {name} as body", 400, body, ("must be a JSON object",))
    deep_list, deep_object = b"[" * DEEP + b"]" * DEEP, b'{"a":' * DEEP + b"1" + b"}" * DEEP
    for name, deep in (("lists", deep_list), ("objects", deep_object), ("open lists", b"[" * DEEP)):
        yield Case(f"{DEEP} nested {name}", 400, deep, ("not valid JSON", "depth"))
        inside = b'{"query": "q", "documents": [' + deep + b"]}"
        yield Case(f"{DEEP} nested {name} as document", 400, inside, ("not valid JSON", "depth"))
    for word in ("NaN", "Infinity", "-Infinity"):
        for key, value in (("top_n", word), ("documents", f"[{word}]"), ("unknown", word)):
            body = dumped(GOOD)[:-1] + f', "{key}": {value}}}'.encode()
            yield Case(f"{word} in {key}", 400, body, ("NaN or Infinity", "column"))
    yield Case("a number beyond doubles", 400, dumped(GOOD)[:-1] + b', "top_n": 1e999}', ("infinity",))


def _sizes(limit: int) -> Iterator[Case]:
    says = (f"limit of {limit} bytes",)
    yield Case("a body over the limit", 413, says=says, make=lambda: body_with(documents=["a" * limit]))
    yield Case("a body one byte over", 413, says=says, make=lambda: _padded(limit + 1))
    yield Case("a body of the limit", 200, results=2, make=lambda: _padded(limit))
    ten = 10 * 1024 * 1024
    yield Case("a document of 10 MB", 200, results=2, make=lambda: body_with(documents=["word " * (ten // 5), "apple"]))


def _padded(size: int) -> bytes:
    body = dumped(GOOD)
    return body + b" " * (size - len(body))


def _texts() -> Iterator[Case]:
    for name, escape in (("high", rb"\ud800"), ("low", rb"\udc00"), ("swapped", rb"\udc00\ud800")):
        for place, body in (
            ("query", b'{"query": "a ' + escape + b'", "documents": ["a"]}'),
            ("document", b'{"query": "a", "documents": ["a ' + escape + b'"]}'),
            ("key", b'{"query": "a", "documents": ["a"], "' + escape + b'": 1}'),
        ):
            yield Case(f"lone {name} surrogate in {place}", 400, body, ("not valid JSON", "surrogate"))
    yield Case("surrogate as bytes", 400, b'{"query": "\xed\xa0\x80", "documents": ["a"]}', ("not valid JSON",))
    yield Case("a bare NUL byte", 400, b'{"query": "a\x00b", "documents": ["a"]}', ("control character",))
    nul = "red\x00apple"
    yield Case("NUL in texts", 200, body_with(query=nul, documents=[nul, "\x00", "a"]), results=3)
    yield Case("control characters", 200, body_with(documents=["\x01\x7f\x1b[31m", "\u202e\ufeff\u200b"]), results=2)
    yield Case("noncharacters", 200, body_with(query="\uffff\U0010ffff", documents=["\ufffe", "\U0001f34e"]), results=2)


def _wrong_types() -> Iterator[Case]:
    for shape, fields in FIELDS.items():
        for name, kind in fields.items():
            for wrong, value in WRONG.items():
                if wrong != kind:
                    body = body_with(shape, **{name: value})
                    yield Case(f"{shape}: {wrong} as {name}", REFUSED[shape], body, (name,), name)
    for value in (None, 5, True, [], 1.5):
        documents: list[Any] = ["a", value]
        passages = [{"text": "a"}, {"text": value}]
        yield Case(f"documents: {value} among them", 400, body_with(documents=documents), param="documents[1]")
        yield Case(f"texts: {value} among them", 422, body_with("texts", texts=documents), ("texts[1]",))
        yield Case(
            f"passages: {value} as text", 400, body_with("passages", passages=passages), param="passages[1].text"
        )
        yield Case(f"passages: {value} among them", 400, body_with("passages", passages=documents), param="passages[0]")
        yield Case(f"documents: {value} as text", 400, body_with(documents=passages), param="documents[1].text")
    yield Case("a text that is an object", 422, body_with("texts", texts=[{"text": "a"}]), ("texts[0]",))
    yield Case("rank_fields of numbers", 400, body_with(rank_fields=[5]), param="rank_fields[0]")
    for field_name, value in (("mode", "fast"), ("mode", "Direct"), ("mode", "")):
        says = ("'direct', 'reasoning' or 'adaptive'",)
        yield Case(f"{field_name} {value!r}", 400, body_with(mode=value), says, field_name)
    yield Case(
        "truncation_direction 'up'", 422, body_with("texts", truncation_direction="up"), ("truncation_direction",)
    )
    yield Case("truncate 'END '", 400, body_with("passages", truncate="END "), ("'NONE' or 'END'",), "truncate")


def _numbers() -> Iterator[Case]:
    for value, results in ((0, 2), (None, 2), (1, 1), (2, 2), (3, 2), (10**9, 2), (10**30, 2), (1.0, 1)):
        for shape, key in (("documents", "top_n"), ("documents", "top_k"), ("texts", "top_n"), ("passages", "top_n")):
            yield Case(f"{shape}: {key} {value}", 200, body_with(shape, **{key: value}), results=results)
    for value in (-1, -(10**9), -(10**30)):
        for shape in BODIES:
            yield Case(
                f"{shape}: top_n {value}", REFUSED[shape], body_with(shape, top_n=value), ("at least 0",), "top_n"
            )
    negative = ("max_tokens_per_doc", "priority", "max_reasoning_tokens", "reasoning_budget", "return_probes")
    for key, value in ((key, value) for key in negative for value in (-1, -(10**30))):
        yield Case(f"{key} {value}", 400, body_with(**{key: value}), ("at least",), key)
    yield Case(
        "max_reasoning_tokens 0", 400, body_with(max_reasoning_tokens=0), ("at least 1",), "max_reasoning_tokens"
    )
    yield Case("return_probes 0", 400, body_with(return_probes=0), ("at least 1",), "return_probes")
    yield Case("top_n against top_k", 400, body_with(top_n=1, top_k=2), ("top_n is 1 and top_k is 2",), "top_k")
    yield Case("top_n as top_k", 200, body_with(top_n=1, top_k=1), results=1)
    for key in ("max_tokens_per_doc", "priority", "max_reasoning_tokens", "reasoning_budget"):
        for value in (10**18, 10**30):
            yield Case(f"{key} {value}", 200, body_with(**{key: value}), results=2)
    for value in (0, 1, 1.0, None):
        yield Case(f"reasoning_budget {value} in mode direct", 200, body_with(reasoning_budget=value), results=2)


def _own_scores() -> Iterator[Case]:
    """What the caller's own search says of the two documents."""
    scores, ranks, weight = "first_stage_scores", "first_stage_ranks", "first_stage_weight"
    for shape in BODIES:
        for numbers in ([1, 2], [0, 0], [-0.0, 0.0], [5e-324, 0], [1.7e308, -1.7e308], [10**30, -(10**300)]):
            yield Case(f"{shape}: scores {numbers}"[:60], 200, body_with(shape, **{scores: numbers}), results=2)
        for numbers in ([1, 1], [1, 10**30], [2.0, 1], [10**300, 10**301]):
            yield Case(f"{shape}: ranks {numbers}"[:60], 200, body_with(shape, **{ranks: numbers}), results=2)
        for share in (0, 1, 0.5, 1.0, 5e-324):
            fused = body_with(shape, **{scores: [1, 2], weight: share})
            yield Case(f"{shape}: weight {share}", 200, fused, results=2)
        for value in (-1, 1.01, -5e-324, 10**30):
            says = ("at least 0" if value < 0 else "at most 1",)
            body = body_with(shape, **{scores: [1, 2], weight: value})
            yield Case(f"{shape}: weight {value}", REFUSED[shape], body, says, weight)
        for name, numbers in ((scores, [1]), (ranks, [1, 2, 3])):
            says = (f"{len(numbers)} numbers for 2 documents",)
            body = body_with(shape, **{name: numbers})
            yield Case(f"{shape}: {len(numbers)} {name}", REFUSED[shape], body, says, name)
        for value in (0, -1, -(10**30)):
            says = ("at least 1",)
            body = body_with(shape, **{ranks: [1, value]})
            yield Case(f"{shape}: rank {value}", REFUSED[shape], body, says, f"{ranks}[1]")
        for number in ("NaN", "-Infinity", "1e999", "-1e999", "1" + "0" * 400):
            body = dumped(BODIES[shape])[:-1] + f', "{scores}": [1, {number}]}}'.encode()
            yield Case(f"{shape}: score {number[:9]}", 400, body, ("not valid JSON",))


def _thresholds() -> Iterator[Case]:
    """Of the two documents one has a relevance of 0.27, the other one of 0.73."""
    for name in ("min_score", "score_threshold", "threshold"):
        for fits in (0, 0.0, 1e-300, None):
            yield Case(f"{name} {fits}", 200, body_with(**{name: fits}), results=2)
        yield Case(f"{name} of 1", 200, body_with(**{name: 1}), results=0)
        for value in (-1, -1e-9, 1.1, 10**30):
            yield Case(
                f"{name} {value}", 400, body_with(**{name: value}), ("at least" if value < 0 else "at most",), name
            )
        yield Case(f"{name} as text", 400, body_with(**{name: "0.5"}), ("a number",), name)
    two = ("min_score is 0.5 and threshold is 0.4",)
    yield Case("two thresholds", 400, body_with(min_score=0.5, threshold=0.4), two, "threshold")
    yield Case("one threshold twice", 200, body_with(min_score=0, threshold=0), results=2)
    for shape in BODIES:
        path, body = "/rerank?min_score=", body_with(shape)
        yield Case(f"{shape}: every score at least 0", 200, body, results=2, path=path + "0")
        yield Case(f"{shape}: none at least 1", 200, body, results=0, path=path + "1.0")
        yield Case(f"{shape}: an empty threshold", 200, body, results=2, path=path)
        for text in ("-1", "1.5", "nan", "inf", "1e999", "half", "0x1", "%E2%88%9E", "0_0.5", "%EF%BC%91", "0.5%00"):
            says = ("min_score must be a number from 0 to 1",)
            yield Case(f"{shape}: min_score={text}", REFUSED[shape], body, says, "min_score", path=path + text)
        for text in ("+0", "0e5", ".0", "0.", "-0.0"):
            yield Case(f"{shape}: min_score={text}", 200, body, results=2, path=path + text)
        both = path + "0.5&threshold=0.6"
        says = ("min_score is 0.5 and threshold is 0.6",)
        yield Case(f"{shape}: two thresholds in the path", REFUSED[shape], body, says, "threshold", path=both)
    sent = body_with(min_score=0.1)
    yield Case("body against path", 400, sent, ("min_score is 0.1",), "min_score", path="/rerank?min_score=0.2")
    yield Case("other parameters", 200, dumped(GOOD), results=2, path="/rerank?min=1&x=%ff&;&&=")


def _switches() -> Iterator[Case]:
    for shape, fields in FIELDS.items():
        for name in (name for name, kind in fields.items() if kind == "boolean"):
            for value in ("true", "false", "True", "FALSE"):
                yield Case(f"{shape}: {name} {value!r}", 200, body_with(shape, **{name: value}), results=2)
            for value in ("yes", "1", "", "true "):
                body = body_with(shape, **{name: value})
                yield Case(f"{shape}: {name} {value!r}", REFUSED[shape], body, ("true or false",), name)


def _nulls() -> Iterator[Case]:
    for shape, fields in FIELDS.items():
        optional = [name for name in fields if name not in BODIES[shape]]
        for name in optional:
            yield Case(f"{shape}: null {name}", 200, body_with(shape, **{name: None}), results=2)
        yield Case(f"{shape}: all null", 200, body_with(shape, **dict.fromkeys(optional)), results=2)
        yield Case(f"{shape}: null query", REFUSED[shape], body_with(shape, query=None), ("query must be",), "query")
        unknown: dict[str, Any] = {
            "unknown": [{"a": 1}],
            **({} if shape == "documents" else {"max_chunks_per_doc": "ten", "relevant_spans": 5}),
            "input_type": None,
            "": 5,
            "__proto__": {},
        }
        yield Case(f"{shape}: unknown fields", 200, body_with(shape, **unknown), results=2)
    yield Case("null documents", 400, body_with(documents=None), ("documents is missing",), "documents")


def _shapes() -> Iterator[Case]:
    yield Case("nothing to rank", 400, b'{"query": "red"}', ("documents is missing",), "documents")
    yield Case("an empty object", 400, b"{}", ("documents is missing",), "documents")
    both = {**BODIES["texts"], **BODIES["documents"]}
    yield Case("documents and texts", 400, dumped(both), ("documents and texts",), "texts")
    yield Case("all three", 400, dumped({**both, "passages": []}), ("documents and texts and passages",), "texts")
    yield Case("null texts beside documents", 200, body_with(texts=None, passages=None), results=2)
    for path in ("/rerank", "/v1/rerank", "/v2/rerank", "/v1/ranking", "/ranking"):
        for shape, body in BODIES.items():
            yield Case(f"{shape} at {path}", 200, dumped(body), results=2, path=path)
    twice = b'{"query": "a", "query": "red", "documents": ["a"], "documents": ["a", "b"]}'
    yield Case("repeated keys", 200, twice, results=2)


def _object_documents() -> Iterator[Case]:
    def of(*documents: Any, **fields: Any) -> bytes:
        return body_with(documents=list(documents), **fields)

    yield Case("an object without text", 400, of({"title": "a"}), ("rank_fields",), "documents[0].text")
    yield Case("an empty object as document", 400, of("a", {}), param="documents[1].text")
    yield Case(
        "parts as vLLM takes them", 400, of({"content": [{"type": "text", "text": "a"}]}), param="documents[0].text"
    )
    yield Case("an image", 400, of({"image": "https://example.org/a.png"}), param="documents[0].text")
    yield Case(
        "an image as passage", 400, body_with("passages", passages=[{"image": "data:"}]), param="passages[0].text"
    )
    yield Case("no ranked key", 400, of({"text": "a"}, rank_fields=["title"]), ("rank_fields",), "documents[0]")
    yield Case("a ranked list", 400, of({"a": [1]}, rank_fields=["a"]), param="documents[0].a")
    long = "a" * 100_000
    yield Case(
        "a ranked list of a long name", 400, of({long: [1]}, rank_fields=[long]), param=f"documents[0].{long[:40]}..."
    )
    yield Case("ranked keys", 200, of({"a": "x", "b": 5}, {"b": True}, "c", rank_fields=["a", "b"]), results=3)
    nested: Any = "a"
    for _ in range(150):
        nested = {"a": [nested]}
    deep = {"text": "a", "metadata": nested}
    yield Case("a document 300 deep that is not sent back", 200, of(deep), results=1)
    yield Case("a document 300 deep", 400, of(deep, return_documents=True), ("nested deeper",), "documents[0]")
    yield Case("an unknown field 300 deep", 200, of("a", unknown=nested), results=1)


def _packed(good: bytes) -> Iterator[Case]:
    """Bodies that are compressed, and that only say so."""
    for name, pack in PACKERS.items():
        headers, packed = {"Content-Encoding": name}, pack(good)
        yield Case(f"a body in {name}", 200, packed, results=2, headers=headers)
        yield Case(f"{name} in capitals", 200, packed, results=2, headers={"Content-Encoding": name.upper()})
        yield Case(f"no {name}", 400, good, (f"not valid {name}",), headers=headers)
        yield Case(f"{name} cut off", 400, packed[:-5], ("ends before",), headers=headers)
        yield Case(f"nothing in {name}", 400, b"", ("body is empty",), headers=headers)
        yield Case(f"{name} of nothing", 400, pack(b""), ("body is empty",), headers=headers)
        yield Case(f"{name} of no JSON", 400, pack(b"{"), ("not valid JSON",), headers=headers)
        yield Case(f"{name} inside {name}", 400, pack(packed), ("not valid JSON",), headers=headers)
        twice = {"Content-Encoding": f"{name}, {name}"}
        yield Case(f"twice in {name}", 415, pack(packed), ("uncompressed",), headers=twice)
    yield Case("deflate without a frame", 200, raw_deflate(good), results=2, headers={"Content-Encoding": "deflate"})


def _headers() -> Iterator[Case]:
    timeout, encoding, kind = "X-Request-Timeout-Ms", "Content-Encoding", "Content-Type"
    good = dumped(GOOD)
    for value in ("0", "-1", "1.5", "soon", "", "5 s", "0x10"):
        yield Case(f"a timeout of {value!r}", 400, good, (timeout,), timeout, headers={timeout: value})
    yield Case("a long timeout", 200, good, results=2, headers={timeout: "9" * 5000})
    yield Case("a brotli body", 415, good, ("'br'", "uncompressed"), headers={encoding: "br"})
    yield from _packed(good)
    yield Case("an identity body", 200, good, results=2, headers={encoding: "identity"})
    for value in ("application/x-www-form-urlencoded", "text/plain", "nonsense", "application/json; charset=utf-8"):
        yield Case(f"content type {value}", 200, good, results=2, headers={kind: value})
