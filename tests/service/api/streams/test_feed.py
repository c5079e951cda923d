"""What waits for a client: nothing is lost, and pieces that follow each other are joined."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from contract.reasoning import Status
from service.api.streams.feed import Feed, Told
from service.ranking import Chunk, Ranked, ReasoningPiece


def verdict(index: int) -> Ranked:
    return Ranked(index, 0.0, 0.5, Status.COMPLETE, None)


async def taken(feed: Feed) -> list[Told]:
    return await feed.take()


async def test_pieces_that_wait_are_joined_in_their_place() -> None:
    feed = Feed()
    feed.reasoned(ReasoningPiece(0, 0, "ab", 1))
    feed.reasoned(ReasoningPiece(1, 0, "x", 1))
    feed.reasoned(ReasoningPiece(0, 2, "c", 2))
    feed.ranked(verdict(1))
    assert await taken(feed) == [ReasoningPiece(0, 0, "abc", 2), ReasoningPiece(1, 0, "x", 1), verdict(1)]
    feed.reasoned(ReasoningPiece(0, 3, "d", 3))  # the ones before have been sent
    assert await taken(feed) == [ReasoningPiece(0, 3, "d", 3)]


async def test_a_text_that_begins_again_and_another_chunk_are_pieces_of_their_own() -> None:
    feed = Feed()
    told = [
        ReasoningPiece(0, 0, "ab", 1),
        ReasoningPiece(0, 0, "ab", 1),
        ReasoningPiece(0, 0, "z", 1, Chunk(0, 5)),
        ReasoningPiece(0, 1, "y", 2, Chunk(5, 9)),
    ]
    for piece in told:
        feed.reasoned(piece)
    assert await taken(feed) == told


@given(st.lists(st.tuples(st.integers(0, 3), st.text("ab", min_size=1, max_size=3)), max_size=30), st.data())
def test_joined_pieces_hold_every_text_whole(pieces: list[tuple[int, str]], data: st.DataObject) -> None:
    feed, texts, got = Feed(), ["", "", "", ""], ["", "", "", ""]
    rooms = data.draw(st.lists(st.booleans(), min_size=len(pieces), max_size=len(pieces)))

    async def take() -> None:
        for told in await feed.take():
            assert isinstance(told, ReasoningPiece)
            assert told.offset == len(got[told.index])
            got[told.index] += told.text

    async def run() -> None:
        for (index, text), reads in zip(pieces, rooms, strict=True):
            feed.reasoned(ReasoningPiece(index, len(texts[index]), text, 1))
            texts[index] += text
            if reads:
                await take()
        feed.close()
        await take()
        assert await feed.take() == []

    asyncio.run(run())
    assert got == texts


async def test_nothing_is_told_after_the_end() -> None:
    feed = Feed()
    feed.close()
    feed.ranked(verdict(0))
    feed.reasoned(ReasoningPiece(0, 0, "a", 1))
    assert not await feed.begun()
    assert await taken(feed) == []
