"""The scripts that end up in the image or write its list of packages, run as the image runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.image.test_dockerfile import TOOLS
from tests.ports import free_port
from tests.processes import ROOT, server
from tests.requirements_check import require
from tests.waiting import PATIENCE

STATUS = """\
Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2.36-9+deb12u14
Description: GNU C Library: Shared libraries
 Contains the standard libraries.

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1.0
"""
PYTHON_PACKAGES = {
    "bomFormat": "CycloneDX",
    "specVersion": "1.6",
    "version": 1,
    "components": [
        {"type": "library", "name": "hatchling", "version": "1.27.0", "purl": "pkg:pypi/hatchling@1.27.0"},
    ],
}


def health(port: int) -> int:
    command = [sys.executable, "-S", "-E", str(ROOT / "image" / "health.py")]
    return subprocess.run(
        command, env={"LIMRANK_PORT": str(port), "http_proxy": "http://127.0.0.1:9"}, timeout=PATIENCE, check=False
    ).returncode


def test_the_health_check_sees_a_server_come_and_go(tmp_path: Path) -> None:
    port = free_port()
    assert health(port) == 1
    with server("tests.service.scripted_server", port, tmp_path):
        assert health(port) == 0
    assert health(port) == 1


def test_the_list_of_packages_has_python_s_and_debian_s(tmp_path: Path) -> None:
    require("hadolint", present=(TOOLS / "cyclonedx-py").exists(), remedy="run `make .venv-image/.installed`")
    packages, status = tmp_path / "python.json", tmp_path / "status"
    packages.write_text(json.dumps(PYTHON_PACKAGES))
    status.write_text(STATUS)
    command = [TOOLS / "python", ROOT / "image" / "sbom.py", packages, status]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    found = {part["name"]: part for part in document["components"]}
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    assert found["libc6"]["purl"] == "pkg:deb/debian/libc6@2.36-9%2Bdeb12u14?arch=amd64"
    assert found["hatchling"]["purl"] == "pkg:pypi/hatchling@1.27.0"
    assert "gone" not in found
