"""Completes a CycloneDX list of Python packages with the Debian packages beneath, and writes it, checked, to stdout.

sbom.py PYTHON_PACKAGES.json /var/lib/dpkg/status > sbom.cdx.json
"""

# mypy: disable-error-code="import-not-found"
from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from email.parser import HeaderParser
from pathlib import Path

from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL


def debian_packages(status: str) -> Iterator[Component]:
    """The installed packages of a dpkg status file (deb-control(5))."""
    for paragraph in status.split("\n\n"):
        fields = HeaderParser().parsestr(paragraph)
        if fields.get("Status", "").endswith(" installed"):
            name, version = fields["Package"], fields["Version"]
            purl = PackageURL("deb", "debian", name, version, {"arch": fields["Architecture"]})
            yield Component(type=ComponentType.LIBRARY, name=name, version=version, purl=purl, bom_ref=str(purl))


def main(packages: str, status: str) -> str:
    """The whole list as JSON. Raise ValueError where it breaks the standard's schema."""
    bom = Bom.from_json(json.loads(Path(packages).read_text(encoding="utf-8")))
    bom.components.update(debian_packages(Path(status).read_text(encoding="utf-8")))
    text = str(JsonV1Dot6(bom).output_as_string(indent=1))
    if complaint := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        raise ValueError(f"the list of packages is not valid CycloneDX 1.6: {complaint}")
    return text


if __name__ == "__main__":
    sys.stdout.write(main(*sys.argv[1:]) + "\n")
