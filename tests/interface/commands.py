"""Commands, flags with their values, and environment names, as help output and error sentences tell them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tests.interface.programs import Outcome, Program

# How environment names begin (docs/operations.md, docs/synth.md, docs/trainer.md, docs/evaluation.md).
PREFIXES = {
    "limrank-serve": "LIMRANK_",
    "limrank-synth": "LIMRANK_SYNTH_",
    "limrank-train": "LIMRANK_TRAIN_",
    "limrank-eval": "LIMRANK_TRAIN_EVAL_",
}
# The setting that names a file of further settings, which is read before any value is looked at.
NAMES_A_FILE = {"limrank-synth": "settings", "limrank-train": "config"}
BAD = "nosuch"
_OPTION = re.compile(r"^  (-\S.*?)(?:   *\S.*)?$")
_POSITIONAL = re.compile(r"^  ([A-Z][A-Z_]*)\b")
_COMMAND = re.compile(r"^  ([a-z][a-z-]*)\b")
_CHECKED = ("int", "float", "N", "X")  # metavars of values that are checked before anything is done


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag as help shows it; `metavar` is empty for a switch."""

    name: str
    metavar: str

    @property
    def field(self) -> str:
        return self.name.removeprefix("--").replace("-", "_")

    @property
    def checked(self) -> bool:
        """Whether any value will not do."""
        return not self.metavar or self.metavar in _CHECKED or self.metavar.startswith("{")

    @property
    def sample(self) -> str:
        """A value that is refused with a sentence where that is possible, else one that can be parsed."""
        if self.checked:
            return BAD
        return "[]" if self.metavar.startswith("list[") else "{}" if "[" in self.metavar else "1"


def command_pins(program: Program) -> dict[str, set[str]]:
    """What one program can be told, by kind."""
    pins: dict[str, set[str]] = {"commands": {program.name}, "flags": set(), "environment": set()}
    help_text = program.succeed("--help")
    commands = [[]] if "COMMAND" not in help_text.splitlines()[0] else [[name] for name in _commands(help_text)]
    for command in commands:
        spoken = " ".join([program.name, *command])
        helped = program.call(*command, "--help")
        if helped.code:
            continue  # a name that has moved: it answers with a sentence
        pins["commands"].add(spoken)
        shown = helped.out
        flags, positionals = list(_flags(shown)), _positionals(shown)
        pins["flags"] |= {f"{spoken} {name}" for name in positionals}
        pins["flags"] |= {f"{spoken} {flag}" for flag in re.findall(r"(?m)^  (?:-h, )?(--(?:help|version))", shown)}
        for flag in flags:
            pins["flags"].add(f"{spoken} {flag.name}")
            if not flag.metavar:
                pins["flags"].add(f"{spoken} --no-{flag.name.removeprefix('--')}")
        refusal = _refusal(program, command, flags, positionals)
        pins["environment"] |= _environment(program, [*command, *(BAD for _ in positionals)], flags, refusal.err)
        pins["flags"] |= {f"{spoken} {flag.name} {value}" for flag in flags for value in _values(flag, refusal.err)}
        for name in positionals:
            pins["commands"] |= {f"{spoken} {value}" for value in _values(Flag(f"--{name.lower()}", ""), refusal.err)}
    unknown = program.call(*commands[0], **{f"{PREFIXES[program.name]}NO_SUCH_NAME": "1"})
    assert "NO_SUCH_NAME is no setting" in unknown.err, "else a name that is gone would not be noticed"
    return pins


def _refusal(program: Program, command: list[str], flags: list[Flag], positionals: list[str]) -> Outcome:
    """What a command says to unusable values of everything, all given in the environment."""
    given = (flag for flag in flags if flag.field != NAMES_A_FILE.get(program.name))
    environment = {_environment_name(program.name, flag): flag.sample for flag in given}
    if not any(flag.checked for flag in flags):
        return Outcome(0, "", "")  # nothing would stop it from being run
    return program.call(*command, *(BAD for _ in positionals), **environment)


def _environment(program: Program, words: list[str], flags: list[Flag], refusal: str) -> set[str]:
    """The names that are taken: the value given under them was refused, or nothing but the value of others was.
    `words`: the command with its arguments."""
    taken = set()
    for flag in flags:
        name = _environment_name(program.name, flag)
        if flag.field == NAMES_A_FILE.get(program.name):
            told = BAD in program.call(*words, **{name: BAD}).err
        elif flag.checked:
            told = f"'{flag.field}' is '{BAD}'" in refusal or f"{name}='{BAD}'" in refusal
        else:
            told = f"{name} is no setting" not in refusal and f"'{flag.field}' is no setting" not in refusal
        if told:
            taken.add(f"{program.name} {name}")
    return taken


def _environment_name(program: str, flag: Flag) -> str:
    return PREFIXES[program] + flag.field.replace(".", "__").upper()


def _values(flag: Flag, refusal: str) -> list[str]:
    """The values that a flag takes, where the sentence on a wrong one names them."""
    for line in refusal.splitlines():
        if f"'{flag.field}' is '{BAD}'" in line or f"_{flag.field.upper()}='{BAD}'" in line:
            _, _, choices = line.partition("should be ")
            return re.findall(r"'([^']+)'", choices)
    return []


def _commands(help_text: str) -> list[str]:
    return [match[1] for line in help_text.splitlines() if (match := _COMMAND.match(line))]


def _positionals(help_text: str) -> list[str]:
    return [match[1] for line in help_text.splitlines() if (match := _POSITIONAL.match(line))]


def _flags(help_text: str) -> Iterator[Flag]:
    for line in help_text.splitlines():
        match = _OPTION.match(line)
        if match is None or match[1].startswith("-h,") or match[1].startswith("--version"):
            continue
        name, _, metavar = match[1].split(", --no-")[0].partition(" ")
        yield Flag(name, metavar.strip())
