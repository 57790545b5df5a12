"""What synthesis has to know of a standard-cell library."""

import gzip
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

from hw.errors import UserError

__all__ = ["Buffer", "Library"]

_NAME = re.compile(r"\blibrary\s*\(\s*\"?([^\")\s]+)")
_CELL = re.compile(r"^[ \t]*cell\s*\(\s*\"?([^\")\s]+)\"?\s*\)\s*\{", re.MULTILINE)
_AREA = re.compile(r"^[ \t]*area\s*:\s*\"?([-+.\deE]+)", re.MULTILINE)
_STATE = re.compile(r"^[ \t]*(?:ff|latch|ff_bank|latch_bank|statetable)\s*\(", re.MULTILINE)
_FLIP_FLOP = re.compile(r"^[ \t]*ff(?:_bank)?\s*\(", re.MULTILINE)
_CLOCK = re.compile(r"clocked_on\s*:\s*\"[(!\s]*(\w+)")
_PIN = re.compile(r"^[ \t]*pin\s*\(\s*\"?([^\")\s]+)\"?\s*\)\s*\{", re.MULTILINE)
_LOAD_UNIT = re.compile(r"capacitive_load_unit\s*\(\s*\"?([.\d]+)\"?\s*,\s*\"?(\w+)")
_FEMTOFARAD = {"ff": 1.0, "pf": 1000.0}


@dataclass(frozen=True)
class Buffer:
    """A cell whose output follows its only input."""

    cell: str
    input: str
    output: str


def _attribute(text: str, name: str) -> str | None:
    match = re.search(rf"^[ \t]*{name}\s*:\s*\"?([^\";]*)", text, re.MULTILINE)
    return None if match is None else match[1].strip()


class Library:
    """A liberty file, plain or compressed with gzip.

    Parameters
    ----------
    path : the file

    Attributes
    ----------
    name : name of the library
    text : the file's text
    areas : area of each cell, in the library's unit (um2)
    flip_flops : clock pin of each flip-flop
    buffer : the buffer for nets of high fan-out
    pin_load : capacitance of a typical input pin in fF

    Raises
    ------
    UserError
        If the file cannot be read, or lacks what a design cannot be mapped without.
    """

    FANOUT = 16
    """Most inputs that one output drives."""

    def __init__(self, path: Path):
        self.path = path
        self.text = _read(path)
        name = _NAME.search(self.text)
        pieces = _CELL.split(self.text)
        cells = dict(zip(pieces[1::2], pieces[2::2], strict=True))
        if name is None or not cells:
            raise UserError(f"{str(path)!r} is not a liberty file: it has no library of cells")
        self.name = name[1]
        unit = _LOAD_UNIT.search(pieces[0])
        to_femtofarad = 1000.0
        if unit is not None:
            to_femtofarad = float(unit[1]) * _FEMTOFARAD.get(unit[2].lower(), 1000.0)

        self.areas: dict[str, float] = {}
        self.flip_flops: dict[str, str] = {}
        loads: list[float] = []
        buffers: list[tuple[float, float, Buffer]] = []  # area, strength
        for cell, text in cells.items():
            area = _AREA.search(text)
            self.areas[cell] = float(area[1]) if area else 0.0
            pins = _PIN.split(text)
            inputs, outputs = {}, {}
            for pin, content in zip(pins[1::2], pins[2::2], strict=True):
                direction = _attribute(content, "direction")
                if direction in ("input", "output"):
                    (inputs if direction == "input" else outputs)[pin] = content
            for content in inputs.values():
                loads.append(float(_attribute(content, "capacitance") or 0) * to_femtofarad)
            clock = _CLOCK.search(text)
            if clock is not None and _FLIP_FLOP.search(text):
                self.flip_flops[cell] = clock[1]
            elif len(inputs) == len(outputs) == 1 and not _STATE.search(text):
                (i,), ((o, content),) = inputs, outputs.items()
                function = (_attribute(content, "function") or "").strip("() ")
                if function == i and _attribute(text, "dont_use") != "true":
                    strength = float(_attribute(content, "max_capacitance") or 0) * to_femtofarad
                    buffers.append((self.areas[cell], strength, Buffer(cell, i, o)))
        if not self.flip_flops:
            raise UserError(f"library {self.name!r} has no flip-flop")
        if not buffers:
            raise UserError(f"library {self.name!r} has no buffer")
        self.pin_load = sorted(loads)[len(loads) // 2]
        # A buffer that is loaded to a small part of what it can drive is fast.
        wanted = 16 * self.FANOUT * self.pin_load
        strong = [buffer for buffer in buffers if buffer[1] >= wanted]
        key = (lambda b: b[0]) if strong else (lambda b: -b[1])
        self.buffer = min(strong or buffers, key=key)[2]


def _read(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read library {str(path)!r}: {error.strerror}") from None
    try:
        if content.startswith(b"\x1f\x8b"):
            content = gzip.decompress(content)
        return content.decode()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError):
        raise UserError(f"{str(path)!r} is neither a liberty file nor one in gzip form") from None
