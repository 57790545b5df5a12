"""One module for many equal ones.

Amaranth writes a module of its own for every instance of a component. A core has hundreds of equal
multipliers and buffers; sharing their modules makes the Verilog many times shorter, and reading,
verilating and synthesising it faster.
"""

import re

__all__ = ["share_modules"]

_NAME = re.compile(r"^module (\S+)$", re.MULTILINE)
_CELL = re.compile(r"^  cell (\S+) ", re.MULTILINE)


def share_modules(rtlil: str) -> str:
    """RTLIL text in which modules that differ only in their names are one.

    The shared module gets the name of its first instance without the number at the end.
    """
    header, modules = _split(rtlil)
    while True:
        first: dict[str, str] = {}
        same: dict[str, str] = {}
        for name, text in modules.items():
            body = _NAME.sub("", text, count=1)
            keeper = first.setdefault(body, name)
            if keeper != name:
                same[name] = keeper
        if not same:
            break
        for keeper in dict.fromkeys(same.values()):
            plain = _plain_name(keeper)
            if plain not in modules and plain not in same.values():
                same |= {name: plain for name, target in same.items() if target == keeper}
                same[keeper] = plain
        renamed = {}
        for name, text in modules.items():
            target = same.get(name, name)
            if target not in renamed:
                text = _NAME.sub(lambda _, target=target: f"module {target}", text, count=1)
                renamed[target] = _CELL.sub(
                    lambda cell, same=same: f"  cell {same.get(cell[1], cell[1])} ", text
                )
        modules = renamed
    return header + "".join(modules.values())


def _plain_name(name: str) -> str:
    return re.sub(r"(_\d+)+$|\[\d+\]$", "", name)


def _split(rtlil: str) -> tuple[str, dict[str, str]]:
    """What comes before the modules, and each module's text with its attributes, by name."""
    pieces = re.split(r"(?<=^end\n)", rtlil, flags=re.MULTILINE)
    start = re.search(r"^(attribute|module) ", pieces[0], flags=re.MULTILINE)
    if start is None:
        return rtlil, {}
    header, pieces[0] = pieces[0][: start.start()], pieces[0][start.start() :]
    modules = {}
    for piece in pieces:
        if piece.strip():
            name = _NAME.search(piece)
            assert name is not None, "text after the last module"
            modules[name[1]] = piece
    return header, modules
