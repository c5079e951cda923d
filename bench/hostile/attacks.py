"""What attackers do to a server, all of it at once.

`python -m bench.hostile.attacks URL METRICS_PORT SECONDS CONNECTIONS`: one process and one event loop, so that the
attackers take little of the machine. Each attack is repeated until the time is over; what came of each try is counted
and printed as JSON. The keys are read from standard input.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from bench.hostile.bodies import BOMB, FIELDS, FITS, GARBAGE, LARGE, SMALL, TINY_ECHOED, TINY_UNKNOWN, UNREAD
from bench.hostile.wire import MEBIBYTE, Target, call, chunks, head, passages, post, wire

Attack = Callable[[Target, int], Awaitable[str]]
"""One attempt, the n-th; returns its outcome."""

_GONE = frozenset({"closed", "reset"})
_BUSY = frozenset({"503", "closed", "reset"})  # outcomes where connections run out
_RANKED = frozenset({"200", "429"}) | _BUSY


async def offers_an_upgrade(target: Target, number: int) -> str:
    """With a length or in chunks, the body at once or later."""
    fields = ["Connection: Upgrade", f"Upgrade: {('h2c', 'websocket', 'TLS/1.2')[number % 3]}"]
    in_chunks, at_once = number % 2 == 1, number % 4 > 1
    length, body = (None, chunks(SMALL)) if in_chunks else (len(SMALL), SMALL)
    start = head(*fields, *(["Transfer-Encoding: chunked"] if in_chunks else []), key=target.small, length=length)
    async with wire(target) as it:
        if at_once:
            return await it.answer_to(start + body)
        await it.send(start)
        await asyncio.sleep(0.05)
        return await it.answer_to(body)


async def hides_a_request(target: Target, number: int) -> str:
    """Sends a request hidden in the body of one that offers an upgrade."""
    inner = b"\r\n" * 1000 * (number % 3) + head(path="/info", key=target.small).replace(b"POST", b"GET")
    async with wire(target) as it:
        fields = ("Connection: Upgrade, close", "Upgrade: h2c")
        await it.send(head(*fields, key=target.small, length=len(inner)))
        await asyncio.sleep(0.05)
        status = await it.answer_to(inner)
        return "a second answer" if b"HTTP/1.1" in await it.rest() else status


async def sends_its_head_slowly(target: Target, _: int) -> str:
    async with wire(target) as it:
        await it.send(b"GET / HTTP/1.1\r\nHost: x\r\n")
        while (came := await it.status(1.0)) == "silent":
            await it.send(b"a: b\r\n")
        return came


async def never_ends_its_head(target: Target, number: int) -> str:
    async with wire(target) as it:
        piece = FIELDS if number % 2 else b"a" * len(FIELDS)
        return await it.answer_to(b"GET / HTTP/1.1\r\nHost: x\r\nb: " + piece * 600)


async def never_ends_its_trailers(target: Target, _: int) -> str:
    async with wire(target) as it:
        start = head("Transfer-Encoding: chunked", key=target.small) + b"1\r\n{\r\n0\r\n"
        return await it.answer_to(start + FIELDS * 600)


async def sends_tiny_chunks(target: Target, number: int) -> str:
    """A body in chunks of one byte, with a key or behind a refusal."""
    async with wire(target) as it:
        await it.send(head("Transfer-Encoding: chunked", key=target.small if number % 2 else "none"))
        await asyncio.sleep(0.05 * (number % 3))
        return await it.answer_to(b"1\r\n \r\n" * 500_000)


async def hides_its_key_in_a_trailer(target: Target, _: int) -> str:
    async with wire(target) as it:
        start = head("Transfer-Encoding: chunked")
        return await it.answer_to(start + chunks(SMALL, f"Authorization: Bearer {target.small}"))


async def floods_the_metrics(target: Target, number: int) -> str:
    """The port without keys: more connections than it takes, and a head without an end on one of them."""
    async with contextlib.AsyncExitStack() as stack:
        last = await stack.enter_async_context(wire(target, port=target.metrics))
        for _ in range(20):
            await stack.enter_async_context(wire(target, port=target.metrics))
        piece = FIELDS if number % 2 else b"a" * len(FIELDS)
        return await last.answer_to(b"GET /metrics HTTP/1.1\r\nHost: x\r\nb: " + piece * 100)


async def stays_idle(target: Target, _: int) -> str:
    async with wire(target) as it:
        return await it.status()


async def floods_with_connections(target: Target, _: int) -> str:
    """Opens more connections than the server accepts and holds them briefly; returns what happened to the first refused
    one."""
    async with contextlib.AsyncExitStack() as stack:
        held = [await stack.enter_async_context(wire(target)) for _ in range(target.connections + 8)]
        for _ in range(20):
            await asyncio.sleep(1.0)
            if came := {await it.status(0.001) for it in held} - {"silent"}:
                return min(came)
    return "none refused"


async def reads_no_answer(target: Target, _: int) -> str:
    async with wire(target, receive_buffer=4096) as it:
        await it.send(post(UNREAD, key=target.small))
        await asyncio.sleep(45)
        return "unread"


async def stands_still(target: Target, number: int) -> str:
    """Announces 16 MiB, sends one byte or half of them, and stalls."""
    async with wire(target) as it:
        size = 16 * MEBIBYTE
        await it.send(head(key=target.small, length=size) + b"{" * (1 if number % 2 else size // 2))
        return await it.status()


async def drips_its_body(target: Target, _: int) -> str:
    async with wire(target) as it:
        await it.send(head(key=target.small, length=MEBIBYTE))
        while (came := await it.status(2.0)) == "silent":
            await it.send(b"{")
        return came


async def sends_tiny_json(target: Target, number: int) -> str:
    async with wire(target) as it:
        return await it.answer_to(post(TINY_ECHOED if number % 2 else TINY_UNKNOWN, key=target.small))


async def guesses_a_key(target: Target, number: int) -> str:
    async with wire(target) as it:
        body = SMALL if number % 4 else b"x" * (4 * MEBIBYTE)
        return await it.answer_to(post(body, key=f"guess-{number}-of-a-secret-0123456789"))


async def sends_on_after_a_refusal(target: Target, number: int) -> str:
    async with wire(target) as it:
        if number % 2:
            return await it.answer_to(head(key=target.small, length=40 * MEBIBYTE) + b" " * (12 * MEBIBYTE))
        return await it.answer_to(post(b"x" * (8 * MEBIBYTE), "Content-Encoding: br", key=target.small))


async def sends_a_bomb(target: Target, number: int) -> str:
    """Some kilobytes that unpack to more than a body may have, or to the largest that it may have."""
    body = BOMB if number % 2 else FITS
    async with wire(target) as it:
        return await it.answer_to(post(body, "Content-Encoding: gzip", key=target.small))


async def expects_to_be_told(target: Target, number: int) -> str:
    """`Expect: 100-continue`: sends the body it holds back, or never does."""
    async with wire(target) as it:
        await it.send(head("Expect: 100-continue", key=target.small, length=len(SMALL)))
        came = await it.status()
        if came != "100" or number % 3 == 0:
            return came
        return await it.answer_to(SMALL)


async def sends_no_http(target: Target, number: int) -> str:
    async with wire(target) as it:
        return await it.answer_to(GARBAGE[number % len(GARBAGE)])


async def asks_at_length(target: Target, number: int) -> str:
    """A query or an instruction that leaves a passage nothing."""
    long = {("query" if number % 2 else "instruction"): "and why " * (20_000 if number % 3 else 600)}
    async with wire(target) as it:
        return await it.answer_to(post(call(passages(2, 20, 1), **long), key=target.small))


async def calls_often(target: Target, _: int) -> str:
    async with wire(target) as it:
        for _ in range(4):
            came = await it.answer_to(post(SMALL, key=target.small))
        return came


async def asks_many_at_once(target: Target, _: int) -> str:
    async with wire(target) as it:
        await it.send(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n" * 50)
        answers = [await it.status() for _ in range(50)]
        return answers[-1]


async def sends_ten_thousand(target: Target, _: int) -> str:
    async with wire(target) as it:
        await it.send(post(LARGE, key=target.bulk))
        return await it.status(25.0)


async def leaves(target: Target, number: int) -> str:
    """Cancels a call of ten thousand documents while it is sent, encoded or scored."""
    async with wire(target) as it:
        await it.send(post(LARGE, key=target.bulk)[: None if number % 3 else 500_000])
        return await it.status(0.3 * (number % 4))


@dataclass(frozen=True, slots=True)
class Plan:
    """An attack by so many attackers at once, with a pause (seconds) between attempts. `expected` are all permitted
    outcomes."""

    attack: Attack
    attackers: int
    pause: float
    expected: frozenset[str]


PLANS = (
    Plan(offers_an_upgrade, 2, 0.2, _RANKED),
    Plan(hides_a_request, 2, 0.2, frozenset({"400"}) | _BUSY),
    Plan(sends_tiny_chunks, 2, 0.5, frozenset({"400", "401"}) | _BUSY),
    Plan(hides_its_key_in_a_trailer, 1, 0.3, frozenset({"401"}) | _BUSY),
    Plan(sends_its_head_slowly, 12, 0.5, _BUSY),
    Plan(never_ends_its_head, 3, 0.3, frozenset({"431"}) | _BUSY),
    Plan(never_ends_its_trailers, 2, 0.5, frozenset({"400", "429", "431"}) | _BUSY),
    Plan(floods_the_metrics, 1, 1.0, frozenset({"431"}) | _BUSY),
    Plan(stays_idle, 24, 0.5, _BUSY),
    Plan(floods_with_connections, 1, 5.0, _BUSY),
    Plan(reads_no_answer, 6, 0.5, frozenset({"unread"}) | _BUSY),
    Plan(stands_still, 12, 0.5, frozenset({"408", "429"}) | _BUSY),
    Plan(drips_its_body, 4, 0.5, frozenset({"408"}) | _BUSY),
    Plan(sends_tiny_json, 1, 1.0, frozenset({"200", "400", "413", "422", "429"}) | _BUSY),
    Plan(guesses_a_key, 2, 0.1, frozenset({"401"}) | _BUSY),
    Plan(sends_on_after_a_refusal, 2, 0.5, frozenset({"413", "415"}) | _BUSY),
    Plan(sends_a_bomb, 1, 0.3, frozenset({"413"}) | _RANKED),
    Plan(expects_to_be_told, 2, 0.2, frozenset({"100"}) | _RANKED),
    Plan(sends_no_http, 2, 0.1, frozenset({"400", "401", "404", "505"}) | _BUSY),
    Plan(asks_at_length, 1, 0.3, frozenset({"400"}) | _RANKED),  # some fit into a model with many positions
    Plan(calls_often, 3, 0.1, _RANKED),
    Plan(asks_many_at_once, 1, 0.5, frozenset({"200"}) | _BUSY),
    Plan(sends_ten_thousand, 2, 1.0, frozenset({"504", "silent"}) | _RANKED),
    Plan(leaves, 2, 0.5, frozenset({"silent", "429"}) | _BUSY),
)
_UNDER_WAY = "under way"  # still running at the end
EXPECTED = {plan.attack.__name__: plan.expected | {_UNDER_WAY} for plan in PLANS}


async def attack(target: Target, seconds: float) -> dict[str, dict[str, int]]:
    """Runs all attacks at once for so many seconds and counts their outcomes. Cancels those that still run at the
    end."""
    counts: dict[str, Counter[str]] = {plan.attack.__name__: Counter() for plan in PLANS}
    tasks = [
        asyncio.create_task(_repeat(plan, target, counts[plan.attack.__name__], begin))
        for plan in PLANS
        for begin in range(plan.attackers)
    ]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return {name: dict(count) for name, count in counts.items()}


async def _repeat(plan: Plan, target: Target, count: Counter[str], begin: int) -> None:
    for number in itertools.count(begin):
        try:
            count[await plan.attack(target, number)] += 1
        except ConnectionError:
            count["reset"] += 1
        except OSError as error:
            count[type(error).__name__] += 1
        except asyncio.CancelledError:
            count[_UNDER_WAY] += 1
            raise
        await asyncio.sleep(plan.pause)


def main() -> None:
    url, metrics, seconds, connections = urlsplit(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
    assert url.hostname is not None
    assert url.port is not None
    keys = json.load(sys.stdin)
    target = Target(url.hostname, url.port, keys["small"], keys["bulk"], connections, metrics)
    json.dump(asyncio.run(attack(target, seconds)), sys.stdout)


if __name__ == "__main__":
    main()
