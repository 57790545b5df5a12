"""How often signals toggle, from the waveforms of a simulation."""

import re
from collections.abc import Iterator
from pathlib import Path

from hw.errors import UserError

__all__ = ["Activity"]


class Activity:
    """Toggles per clock cycle of every signal below one module of a VCD file.

    Parameters
    ----------
    path : the file, for example from ``diannao run --trace FILE.vcd``
    scope : instance path of the module in the hierarchy, dots between names. It may begin anywhere;
        of several that fit the innermost counts (Verilator has the top inside a scope of its name).

    Raises
    ------
    UserError
        If the file cannot be read, or has no such module.
    """

    def __init__(self, path: Path, scope: str):
        self.path = path
        try:
            with path.open() as file:
                self._signals = _declarations(file)
                self._prefix, self.cycles, self._toggles = self._count(file, scope)
        except OSError as error:
            raise UserError(f"cannot read waveforms {str(path)!r}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise UserError(f"{str(path)!r} is not a VCD file") from None

    def _count(self, file: Iterator[str], scope: str) -> tuple[str, int, dict[str, list[int]]]:
        scopes = [
            name.rpartition(".")[0] for name in self._signals if name.rpartition(".")[2] == "clk"
        ]
        fitting = [found for found in scopes if f".{found}".endswith(f".{scope}")]
        if not fitting:
            raise UserError(
                f"the waveforms in {str(self.path)!r} do not show a module {scope!r} with a clock"
            )
        prefix = max(fitting, key=len)
        codes = {
            code: width
            for name, (code, width) in self._signals.items()
            if name.startswith(f"{prefix}.")
        }
        clock = self._signals[f"{prefix}.clk"][0]
        last = dict.fromkeys(codes, 0)
        known: set[str] = set()
        toggles = {code: [0] * width for code, width in codes.items()}
        for line in file:
            if line[0] in "01":
                code, value = line[1:].rstrip(), int(line[0])
            elif line[0] in "bB":
                bits, _, code = line[1:].rstrip().partition(" ")
                value = int(re.sub("[^01]", "0", bits), 2) if code in codes else 0
            else:
                continue
            if code not in codes:
                continue
            changed = last[code] ^ value
            last[code] = value
            if code not in known:  # the first value is where it starts from
                known.add(code)
                continue
            counts = toggles[code]
            while changed:
                low = changed & -changed
                counts[low.bit_length() - 1] += 1
                changed ^= low
        cycles = toggles[clock][0] // 2
        if cycles == 0:
            raise UserError(f"the clock does not run in the waveforms {str(self.path)!r}")
        return prefix, cycles, toggles

    def rate(self, path: str) -> float | None:
        """Toggles per cycle of an average bit of the signals that an instance has itself.

        ``path`` is the instance's below the module, with dots. None if the file does not show it.
        """
        scope = f"{self._prefix}.{path}".rstrip(".")
        bits = [
            count
            for name, (code, _) in self._signals.items()
            if name.rpartition(".")[0] == scope and not name.endswith(".clk")
            for count in self._toggles[code]
        ]
        return sum(bits) / len(bits) / self.cycles if bits else None


def _declarations(file: Iterator[str]) -> dict[str, tuple[str, int]]:
    """Code and width of each signal by its path; leaves ``file`` behind the declarations."""
    signals: dict[str, tuple[str, int]] = {}
    scopes: list[str] = []
    for line in file:
        words = line.split()
        if not words:
            continue
        if words[0] == "$scope":
            scopes.append(words[2])
        elif words[0] == "$upscope":
            scopes.pop()
        elif words[0] == "$var":
            signals[".".join([*scopes, words[4].removeprefix("\\")])] = words[3], int(words[2])
        elif words[0] == "$enddefinitions":
            break
    return signals
