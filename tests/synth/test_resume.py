"""A run that is killed at any moment and begun again pays for nothing twice and ends with the same bytes.

`make soak` kills it 20 times (LIMRANK_TEST_KILLS).
"""

from __future__ import annotations

import os
import random
import time
from io import StringIO
from pathlib import Path

import pytest

from contract.records import write_records
from synth.errors import BadSettings, RunBusy
from synth.pipeline import examples, run
from synth.run.folder import RunFolder
from synth.run.journal import read_journal
from synth.settings import RunSettings
from synth.status import status
from tests.synth.endpoint import ScriptedEndpoint
from tests.synth.runs import corpus_knobs, endpoint_knobs, limrank_knobs, limrank_settings, start, toml_of, write_lines
from tests.waiting import PATIENCE

KILLS = int(os.environ.get("LIMRANK_TEST_KILLS", "3"))
CONCURRENCY = 8
CALLS_PER_SEED = 13  # queries, then for each of two queries: a positive, two negatives, three judgements


@pytest.mark.timeout(900 + 60 * KILLS)
def test_killed_at_random_points_it_pays_nothing_twice_and_exports_the_same_bytes(tmp_path: Path) -> None:
    seeds = 16 * KILLS
    total = seeds * CALLS_PER_SEED
    points = sorted(random.SystemRandom().randrange(1, total - CONCURRENCY) for _ in range(KILLS))
    with ScriptedEndpoint(latency=0.02, keep=False) as endpoint:
        knobs = limrank_knobs(tmp_path / "killed", endpoint.url, seeds)
        file = toml_of(knobs, tmp_path / "settings.toml")
        lost = 0
        for point in points:
            process = start("run", knobs["run"], "--settings", file)
            while endpoint.counts.requests < point + lost and process.poll() is None:
                time.sleep(0.001)
            process.kill()
            process.communicate()
            endpoint.wait_until_left()
            lost_now = endpoint.counts.requests - lost - _rows(tmp_path / "killed")
            assert 0 <= lost_now <= 2 * CONCURRENCY, points
            lost += lost_now
        process = start("run", knobs["run"], "--settings", file)
        said, complained = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, complained
        assert "examples accepted" in said
        assert endpoint.counts.requests == total + lost, points
        assert _rows(tmp_path / "killed") == total

        run(limrank_settings(tmp_path / "whole", endpoint.url, seeds), StringIO())
    assert _export(tmp_path / "killed") == _export(tmp_path / "whole")
    print(f"{KILLS} kills after {points} of {total} calls: {lost} calls paid for twice, the exports are equal")


def test_the_corpus_method_goes_on_where_it_was_killed_too(tmp_path: Path) -> None:
    """Killed once while queries are written and once while pairs are judged, with the mining between them done once."""
    with ScriptedEndpoint(latency=0.02) as endpoint:
        for name in ("killed", "whole"):
            knobs = corpus_knobs(tmp_path / name, endpoint.url)
            knobs["corpus"] |= {"bi_encoder": "", "sample": 30}
            file = toml_of(knobs, tmp_path / f"{name}.toml")
            before = endpoint.counts.requests
            lost = 0
            for point in (12, 90) if name == "killed" else ():
                process = start("run", knobs["run"], "--settings", file)
                while endpoint.counts.requests - before < point + lost and process.poll() is None:
                    time.sleep(0.001)
                process.kill()
                process.communicate()
                endpoint.wait_until_left()
                lost_now = endpoint.counts.requests - before - lost - _rows(tmp_path / name)
                assert 0 <= lost_now <= 2 * CONCURRENCY
                lost += lost_now
            process = start("run", knobs["run"], "--settings", file)
            _, complained = process.communicate(timeout=PATIENCE)
            assert process.returncode == 0, complained
            assert endpoint.counts.requests - before - lost == _rows(tmp_path / name) > 150
    assert _rows(tmp_path / "killed") == _rows(tmp_path / "whole")
    assert _export(tmp_path / "killed") == _export(tmp_path / "whole")


def test_a_finished_run_is_not_paid_for_again(tmp_path: Path) -> None:
    with ScriptedEndpoint() as endpoint:
        settings = limrank_settings(tmp_path, endpoint.url)
        accepted = run(settings, StringIO())
        assert endpoint.counts.requests == 12 * CALLS_PER_SEED
        assert max(endpoint.counts.bodies.values()) == 1
        assert run(settings, StringIO()) == accepted > 0
        assert endpoint.counts.requests == 12 * CALLS_PER_SEED


def test_a_torn_last_line_is_asked_for_again_and_nothing_else(tmp_path: Path) -> None:
    with ScriptedEndpoint() as endpoint:
        settings = limrank_settings(tmp_path, endpoint.url, seeds=2)
        run(settings, StringIO())
        whole = _export(tmp_path)
        journal = settings.run / "journal.jsonl"
        journal.write_bytes(journal.read_bytes()[:-25])
        assert _rows(tmp_path) == 2 * CALLS_PER_SEED - 1
        run(settings, StringIO())
        assert endpoint.counts.requests == 2 * CALLS_PER_SEED + 1
    assert _export(tmp_path) == whole


def test_a_lost_or_broken_index_is_built_again(tmp_path: Path) -> None:
    with ScriptedEndpoint() as endpoint:
        settings = limrank_settings(tmp_path, endpoint.url, seeds=2)
        run(settings, StringIO())
        whole = _export(tmp_path)
        index = settings.run / "journal.sqlite"
        index.unlink()
        assert _export(tmp_path) == whole
        index.write_bytes(b"no database" * 1000)
        assert _export(tmp_path) == whole
        run(settings, StringIO())
        assert endpoint.counts.requests == 2 * CALLS_PER_SEED


def test_another_model_or_template_is_asked_anew_and_the_old_replies_are_kept(tmp_path: Path) -> None:
    with ScriptedEndpoint() as endpoint:
        run(limrank_settings(tmp_path, endpoint.url, seeds=2), StringIO())
        before = _export(tmp_path)
        other = endpoint_knobs(endpoint.url, model="another judge")
        run(limrank_settings(tmp_path, endpoint.url, seeds=2, judge=other), StringIO())
        assert endpoint.counts.requests == 2 * (CALLS_PER_SEED + 6)
        run(limrank_settings(tmp_path, endpoint.url, seeds=2), StringIO())
        assert endpoint.counts.requests == 2 * (CALLS_PER_SEED + 6)
    assert _export(tmp_path) == before


def test_equal_questions_are_paid_for_once(tmp_path: Path) -> None:
    with ScriptedEndpoint(latency=0.05) as endpoint:
        knobs = limrank_knobs(tmp_path, endpoint.url)
        write_lines(tmp_path / "seeds.jsonl", [{"id": "a", "text": "same"}, {"id": "b", "text": "same"}])
        write_lines(tmp_path / "personas.jsonl", [{"persona": "The only person.", "domain": "law"}])
        knobs["limrank"] |= {"domains": {"law": {"share": 1}}, "difficulties": {"direct": 1}, "intents": {"direct": 1}}
        knobs["limrank"] |= {"negatives": 1, "negative_types": {"partial": 1}}
        run(RunSettings(**knobs), StringIO())
        assert endpoint.counts.requests == 1 + 2 * (1 + 1 + 2)
        assert len(list(examples(knobs["run"]))) == 2 * 2 * 2


def test_a_folder_begun_with_other_inputs_is_refused(tmp_path: Path) -> None:
    with ScriptedEndpoint() as endpoint:
        run(limrank_settings(tmp_path, endpoint.url, seeds=2), StringIO())
        with pytest.raises(BadSettings, match="was begun with other inputs"):
            run(limrank_settings(tmp_path, endpoint.url, seeds=3), StringIO())
        with pytest.raises(BadSettings, match="was begun with other inputs"):
            run(limrank_settings(tmp_path, endpoint.url, seeds=2, random_seed=1), StringIO())


def test_two_processes_do_not_share_a_folder(tmp_path: Path) -> None:
    with ScriptedEndpoint() as endpoint:
        settings = limrank_settings(tmp_path, endpoint.url, seeds=2)
        run(settings, StringIO())
        with RunFolder(settings.run, writing=False):
            with pytest.raises(RunBusy, match=f"in use by process {os.getpid()}"):
                run(settings, StringIO())
            assert "running" in status(settings.run)
        assert "finished" in status(settings.run)


def _rows(folder: Path) -> int:
    return sum(1 for _ in read_journal(folder / "run" / "journal.jsonl"))


def _export(folder: Path) -> bytes:
    path = folder / "records.jsonl"
    assert write_records(path, examples(folder / "run")) > 0
    return path.read_bytes()
