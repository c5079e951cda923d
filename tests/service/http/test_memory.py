"""What large bodies took is given back once none is held; small calls cause nothing of the kind."""

from __future__ import annotations

import asyncio
import ctypes
import subprocess
import sys

import pytest

from service.http.body_budget import BodyBudget
from service.http.limits import MEBIBYTE
from service.http.memory import MemoryReturn, trim_memory
from tests.processes import ROOT


async def _passed(bodies: BodyBudget, *sizes: int) -> None:
    """Bodies that are held at the same time, and let go one after another."""
    holds = [bodies.hold("a") for _ in sizes]
    for hold, size in zip(holds, sizes, strict=True):
        hold.reserve(size)
    for hold in holds:
        hold.release()
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("calls", "times"),
    [
        ([(1000,)] * 50, 0),
        ([(20 * MEBIBYTE,)], 1),
        ([(6 * MEBIBYTE,)] * 3, 1),
        ([(12 * MEBIBYTE, 3 * MEBIBYTE, 3 * MEBIBYTE)], 1),
        ([(20 * MEBIBYTE,)] * 4, 1),
    ],
    ids=["small", "one", "several", "at once", "again before it was done"],
)
async def test_memory_is_given_back_behind_large_bodies(calls: list[tuple[int, ...]], times: int) -> None:
    given = 0

    def give_back() -> None:
        nonlocal given
        given += 1

    quiet = asyncio.Event()
    returning = MemoryReturn(give_back, quiet.wait)
    bodies = BodyBudget(256 * MEBIBYTE, emptied=returning)
    for sizes in calls:
        await _passed(bodies, *sizes)
    await asyncio.sleep(0)
    assert (returning._task is not None) == bool(times)
    quiet.set()
    if returning._task is not None:
        await returning._task
    assert given == times
    quiet.clear()
    await _passed(bodies, 20 * MEBIBYTE)
    assert returning._task is not None, "and again for those that come later"
    quiet.set()
    await returning._task
    assert given == times + 1


async def test_nothing_is_given_back_while_a_body_is_held() -> None:
    calls: list[int] = []
    bodies = BodyBudget(256 * MEBIBYTE, emptied=calls.append)
    held = bodies.hold("a")
    await _passed(bodies, 20 * MEBIBYTE, 1)
    assert calls == []
    held.release()
    assert calls == [20 * MEBIBYTE + 1]


def test_the_c_library_is_asked() -> None:
    trim_memory()


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_info"), reason="the C library is not glibc")
@pytest.mark.parametrize(
    ("environ", "arenas"),
    [
        ({}, range(1, 3)),
        ({"MALLOC_ARENA_MAX": "5"}, range(3, 6)),
        ({"GLIBC_TUNABLES": "glibc.malloc.arena_max=4"}, range(3, 5)),
    ],
)
def test_threads_share_two_arenas_unless_the_environment_says_how_many(environ: dict[str, str], arenas: range) -> None:
    code = """
import ctypes, os, sys, threading
from service.http.memory import limit_arenas
limit_arenas(os.environ)
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
all_here = threading.Barrier(9)
def allocate():
    all_here.wait()
    for _ in range(1000):
        libc.malloc(5000)
    all_here.wait()
for _ in range(8):
    threading.Thread(target=allocate).start()
all_here.wait()
all_here.wait()
out = ctypes.c_void_p.in_dll(libc, "stdout")
libc.malloc_info(0, out)
libc.fflush(out)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    )
    assert done.stdout.count("<heap nr=") in arenas
