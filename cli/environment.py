"""Which environment variables belong to a program, and suggestions for unknown names."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

# Variables that Kubernetes adds to every pod for a Service whose name begins like our prefix. `<PREFIX>PORT` is also a
# setting of ours; Kubernetes' value is an address, which no port number looks like.
_SERVICE_NAME = re.compile(r"_SERVICE_(HOST|PORT(_\w+)?)$|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$")
_SERVICE_ADDRESS = re.compile(r"(tcp|udp|sctp)://")


@dataclass(frozen=True, slots=True)
class Program:
    """How a program is called and where its settings come from.

    `prefix` begins the names of its environment variables; names that begin with one of `foreign` belong to other
    programs. `file` takes the values of flags and environment and returns those of the settings file that one of them
    names. `usage` shows the arguments of a program without subcommands.
    """

    name: str
    prefix: str
    foreign: tuple[str, ...] = ()
    file: Callable[[Mapping[str, Any]], dict[str, Any]] | None = None
    usage: str = "[flags]"


def own_names(program: Program, environ: Mapping[str, str]) -> list[str]:
    """The variables that can only be meant as settings of `program`."""
    return [
        name
        for name, value in environ.items()
        if name.startswith(program.prefix) and not name.startswith(program.foreign) and not _of_kubernetes(name, value)
    ]


def close_name(name: str, known: Iterable[str], prefix: str) -> str:
    """Returns `; did you mean NAME?`, or `.` when no known name is close. Compares without the prefix, which would make
    any two names look close."""
    close = difflib.get_close_matches(name.removeprefix(prefix), [each.removeprefix(prefix) for each in known], n=1)
    return f"; did you mean {prefix}{close[0]}?" if close else "."


def _of_kubernetes(name: str, value: str) -> bool:
    return bool(_SERVICE_NAME.search(name)) or (name.endswith("_PORT") and bool(_SERVICE_ADDRESS.match(value)))
