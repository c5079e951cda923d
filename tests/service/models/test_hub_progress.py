"""A download tells how far it is by the bars that huggingface_hub makes."""

from __future__ import annotations

import inspect

import huggingface_hub
import pytest

from cli.progress import Progress
from service.models.hub import _told_to

_BYTES = {"total": 0, "initial": 0, "unit": "B", "unit_scale": True}


def test_bytes_that_are_written_count_and_nothing_is_drawn(capfd: pytest.CaptureFixture[str]) -> None:
    shown = Progress("downloading_model", unit="bytes")
    bars = _told_to(shown)
    with bars(desc="Fetching 3 files", total=3) as files, bars(desc="Downloading bytes", **_BYTES) as received:
        written = bars(desc="Reconstructing (incomplete total...)", **_BYTES)
        written.total += 4000
        written.refresh()
        assert (shown.done, shown.total) == (0, 4000)
        files.update(1)
        received.update(1000)
        assert shown.done == 0
        written.update(1500)
        assert (shown.done, shown.total) == (1500, 4000)
        written.close()
    assert capfd.readouterr() == ("", "")


def test_the_library_still_names_its_bars_so() -> None:
    source = inspect.getsource(inspect.getmodule(huggingface_hub.snapshot_download))  # type: ignore[arg-type]
    assert 'desc="Reconstructing' in source
    assert "tqdm_class" in inspect.signature(huggingface_hub.snapshot_download).parameters
