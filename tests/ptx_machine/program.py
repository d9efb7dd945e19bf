"""An entry of PTX, taken apart: instructions, labels, parameters, memories."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, cached_property


class Fault(Exception):
    """What a kernel must not do."""


@dataclass(frozen=True)
class Instruction:
    """One line of a program: ``@guard stem.types operands``, at its place in the program."""

    place: int
    text: str
    guard: str
    unless: bool
    stem: str
    types: tuple[str, ...]
    operands: tuple[str, ...]


@dataclass(frozen=True)
class Program:
    """An entry: its instructions, where its labels are, and what lies around it."""

    instructions: list[Instruction]
    labels: dict[str, int]
    parameters: dict[str, str]  # name to type
    registers: dict[str, str]  # what names begin with, to the type
    shared: dict[str, int]  # name to place in the memory of a block
    shared_bytes: int
    constants: dict[str, bytes]

    @cached_property
    def heads(self) -> frozenset[int]:
        """Where threads may arrive from elsewhere."""
        return frozenset(self.labels.values())


def _instruction(place: int, statement: str) -> Instruction:
    text = " ".join(statement.split())
    found = re.fullmatch(r"(?:@(!?)(%\w+) )?([a-z][\w.]*) ?(.*)", text)
    if found is None:
        raise Fault(f"not understood: {text[:120]}")
    unless, guard, opcode, rest = found.groups()
    stem, types = re.fullmatch(r"(.*?)((?:\.(?:pred|[busf]\d+))*)", opcode).groups()
    operands = re.findall(r"\{[^}]*\}|\[[^]]*\]|[^\s,]+", rest)
    return Instruction(
        place, text, guard or "", bool(unless), stem, tuple(types.split(".")[1:]), tuple(operands)
    )


def listed(operand: str) -> list[str]:
    """Return the names of an operand: ``{%f1, %f2}``, or one."""
    return re.findall(r"[^{},\s]+", operand)


def _shared(ptx: str) -> tuple[dict[str, int], int]:
    """Where arrays of shared memory begin, and how much there is of it."""
    places, size = {}, 0
    for align, name, count in re.findall(r"\.shared \.align (\d+) \.b8 ([\w$]+)\[(\d+)\]", ptx):
        places[name] = -(-size // int(align)) * int(align)
        size = places[name] + int(count)
    return places, size


def _statements(body: str) -> tuple[list[Instruction], dict[str, int]]:
    """Return the instructions, and where labels stand among them."""
    instructions: list[Instruction] = []
    labels = {}
    body = re.sub(r"\{(?=[^}]*;)|(?<=;)\s*\}", "", body)  # scopes; other braces enclose registers
    for label, statement in re.findall(r"([\w$]+):|([^;:]+);", body):
        if label:
            labels[label] = len(instructions)
        elif not statement.lstrip().startswith("."):
            instructions.append(_instruction(len(instructions), statement))
    return instructions, labels


@cache
def parsed(ptx: str) -> Program:
    """Return the program of the one entry."""
    ptx = re.sub(r"//[^\n]*", "", ptx)
    entry = r"\.entry\s+[\w$]+\s*\((.*?)\)[^{]*\n\{(.*?)\n\}"
    head, body = re.search(entry, ptx, re.DOTALL).groups()
    parameters = re.findall(r"\.param\s+\.(\w+)[^,]*?([\w$]+)\s*(?:,|$)", head)
    registers = re.findall(r"\.reg\s+\.(\w+)\s+(%[a-z]+)", body)
    listed_bytes = r"\.(?:const|global) \.align \d+ \.b8 ([\w$]+)\[\d+\] = \{([\d, ]*)\}"
    constants = re.findall(listed_bytes, ptx)
    return Program(
        *_statements(body),
        {name: kind for kind, name in parameters},
        {name: kind for kind, name in registers},
        *_shared(ptx),
        {name: bytes(map(int, values.split(","))) for name, values in constants},
    )
