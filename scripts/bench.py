"""Run the benchmarks, layers and networks, and write their parts of docs/results.md;
``scripts/bench`` does the set-up."""

import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from . import networks
from .results import PAGE, write_section

ROOT = Path(__file__).parent.parent

WIDE = "--set name=diannao-16x16-wide --set sb_port=2048".split()


@dataclass(frozen=True)
class Section:
    """A table of the page.

    Parameters
    ----------
    title : its heading
    text : what is measured
    command : of ``diannao bench``, without the files that it writes
    plot : file name of the roofline in docs/, or nothing
    """

    title: str
    text: str
    command: tuple[str, ...]
    plot: str = ""


SECTIONS = (
    Section(
        "The paper's layers",
        "The paper's core (16x16, 16 bits, buffers of 64 rows, truncated multipliers) with its "
        "memory: 255 bytes per cycle, answers after 100 cycles. The SB port has 2048 bits, so that "
        "it is not the limit. CONV and POOL layers that take more than 1.25 million cycles run on "
        "the RTL as a crop in x and y, which needs the same weights and maps, and in full in the "
        "performance model. FC1024 and ALEXNET-CONV3 have the memory that others were measured "
        "with, 32 bytes per cycle.",
        ("bench", *WIDE),
        "roofline.svg",
    ),
    Section(
        "Layers that others measure",
        "The named configuration `diannao-16x16`, with an SB port of 1024 bits, AXI4's limit, and "
        "a memory of 32 bytes per cycle.",
        ("bench", "FC1024", "ALEXNET-CONV3"),
    ),
)

LEGEND = """\
Cycles are counted in the generated Verilog in Verilator, or come from the performance model where
the column *ran* says so.

*bound* is what no mapping can undercut (true MACs at Tn*Ti per cycle, the bytes of a port over its
width, all bytes over the memory's rate), *set by* the one that counts; *efficiency* is bound over
cycles. *lanes* is the share of the lanes that do useful work in a step; for pooling, efficiency
over lanes is thus the share of the cycles in which a row of NBin is read. *NBin*, *SB* and *NBout*
are the bytes that their ports move, and how often that is the least. *model* is how far the
performance model's cycles are from the RTL's, and the seconds of one processor that it took. Every
output of every run on RTL is compared with the golden model, bit for bit.
"""


def measure(section: Section) -> str:
    """Run a section's command; its part of the page."""
    title = f"### {section.title}\n\n{section.text}\n\n"
    shown = f"```\ndiannao {shlex.join(section.command)}\n```\n\n"
    plot = f"\n![Roofline of {section.title.lower()}]({section.plot})\n" if section.plot else ""
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "table.md"
        command = [
            str(Path(sys.executable).with_name("diannao")),
            *section.command,
            "--markdown",
            str(table),
        ]
        if section.plot:
            command += ["--plot", str(PAGE.parent / section.plot)]
        subprocess.run(command, cwd=ROOT, check=True)
        return title + shown + table.read_text() + plot


def main() -> None:
    parts = [measure(section) for section in SECTIONS]
    text = f"## Layers\n\nMade by `scripts/bench`.\n\n{LEGEND}\n" + "\n".join(parts)
    write_section("scripts/bench", text)
    networks.main()
    print(f"wrote {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
