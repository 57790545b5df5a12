# amaranth: UnusedElaboratable=no
"""Draw the block diagram of a core as SVG, with the sizes of its configuration.

    python scripts/draw_core.py [CONFIG] > docs/core.svg

Boxes are the submodules of ``hw.diannao.core.Core`` and what they contain; all figures are taken
from the components' signatures.
"""

import sys
from xml.sax.saxutils import escape

from amaranth.hdl import Shape
from amaranth.lib import data

from hw.diannao.config import CONFIGS, Config
from hw.diannao.operands import OperandFetch
from hw.diannao.sequencer import Sequencer
from hw.nfu.nfu import Nfu

INK, PAPER, MEMORY, COMPUTE, CONTROL = "#222222", "#ffffff", "#dbe9f6", "#fbe3c8", "#e6e6e6"


def bits(shape) -> int:
    return Shape.cast(shape).width


class Drawing:
    """Boxes and arrows on a grid of pixels."""

    def __init__(self, width: int, height: int):
        self.size = (width, height)
        self.parts: list[str] = []

    def box(self, x, y, w, h, title, *lines, fill=PAPER):
        self.parts.append(
            f'<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="4" fill="{fill}" stroke="{INK}"/>'
        )
        top = y + h / 2 - 8 * len(lines)
        self.text(x + w / 2, top + 5, title, weight="bold")
        for n, line in enumerate(lines):
            self.text(x + w / 2, top + 22 + 16 * n, line, size=11.5)

    def text(self, x, y, text, size=13.0, weight="normal", anchor="middle"):
        self.parts.append(
            f'<text x="{x}" y="{y}" font-size="{size}" font-weight="{weight}" '
            f'text-anchor="{anchor}">{escape(text)}</text>'
        )

    def arrow(self, *points, label="", at=(0.0, 0.0), dashed=False, anchor="middle"):
        path = " ".join(f"{x},{y}" for x, y in points)
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self.parts.append(
            f'<polyline points="{path}" fill="none" stroke="{INK}"{dash} marker-end="url(#tip)"/>'
        )
        if label:
            self.text(at[0], at[1], label, size=11.5, anchor=anchor)

    def svg(self) -> str:
        width, height = self.size
        body = "\n".join(self.parts)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" font-family="Helvetica, Arial, sans-serif" '
            f'fill="{INK}">\n'
            '<defs><marker id="tip" markerWidth="9" markerHeight="8" refX="8" refY="4" '
            f'orient="auto"><path d="M0,0 L9,4 L0,8 z" fill="{INK}"/></marker></defs>\n'
            f'<rect width="{width}" height="{height}" fill="{PAPER}"/>\n{body}\n</svg>\n'
        )


def kib(bit_count: float) -> str:
    return f"{bit_count / 8192:g} KB"


def draw(config: Config) -> str:
    operands = OperandFetch(config=config)
    steps = Sequencer(config=config).o.payload.shape()
    assert isinstance(steps, data.Layout)
    nfu = Nfu(
        tn=config.tn, ti=config.ti, width=config.width, drop=config.drop,
        multiplier=config.multiplier, acc_width=config.acc_width, nbout_rows=config.nbout_rows,
        bias_rows=config.bias_rows, segments=config.segments, nfu1_stages=config.nfu1_stages,
        nfu2_stages=config.nfu2_stages, nfu3_stages=config.nfu3_stages,
    )  # fmt: skip
    neurons, row = bits(operands.neurons.shape()), len(operands.synapses)
    outputs = bits(nfu.o.payload.shape())
    partial = bits(nfu.partial.write_data.shape())

    d = Drawing(1060, 640)
    d.text(24, 30, f"{config.name}: Tn = {config.tn}, Ti = {config.ti}, {config.width}-bit", 16,
           "bold", "start")  # fmt: skip

    # Memory ports on the left.
    d.box(24, 60, 110, 540, "Memory", "AXI4", "bursts,", f"{config.outstanding} reads", "in flight")

    # Control on top.
    d.box(250, 60, 170, 80, "CP", "fetch, decode", f"buffer {config.instruction_buffer} bytes",
          fill=CONTROL)  # fmt: skip
    d.arrow((134, 100), (250, 100), label=f"cp {config.cp_port}", at=(192, 94))
    d.box(640, 60, 180, 80, "Sequencer", "loop nests, ownership", "one step per cycle",
          fill=CONTROL)  # fmt: skip
    d.arrow((420, 100), (640, 100), label="NFU slots", at=(530, 94))
    d.box(880, 60, 150, 80, "Registers", "AXI4-Lite, interrupt", "supervisor", fill=CONTROL)

    # Loaders and buffers.
    d.box(180, 200, 130, 70, "NBin loader", "DMA, fences", fill=CONTROL)
    d.box(380, 190, 190, 90, "NBin", f"ring of {config.nbin_elements} neurons",
          kib(config.nbin_elements * config.width), "any element offset", fill=MEMORY)  # fmt: skip
    d.arrow((134, 235), (180, 235), label=str(config.nbin_port), at=(157, 228))
    d.arrow((310, 235), (380, 235))
    d.box(180, 350, 130, 70, "SB loader", "DMA", fill=CONTROL)
    d.box(380, 340, 190, 90, "SB", f"{config.sb_rows} rows of {row // 8} bytes",
          kib(config.sb_rows * row), fill=MEMORY)  # fmt: skip
    d.arrow((134, 385), (180, 385), label=str(config.sb_port), at=(157, 378))
    d.arrow((310, 385), (380, 385))
    d.box(180, 510, 130, 70, "Store unit", "DMA", fill=CONTROL)
    d.box(380, 490, 190, 110, "NBout", f"{config.nbout_rows} output rows,",
          kib(config.nbout_rows * outputs), f"{config.nbout_rows} rows of partial sums,",
          kib(config.nbout_rows * partial), fill=MEMORY)  # fmt: skip
    d.arrow((380, 545), (310, 545), label=str(outputs), at=(345, 538))
    d.arrow((180, 545), (134, 545), label=str(config.nbout_port), at=(157, 538))

    # From CP to the units, dashed.
    d.arrow((270, 140), (270, 200), dashed=True)
    d.arrow((340, 140), (340, 365), (310, 365), dashed=True)
    d.arrow((355, 140), (355, 525), (310, 525), dashed=True)
    d.arrow((730, 140), (730, 180), dashed=True)
    d.text(742, 170, f"addresses, frees ({bits(steps)} bits)", 11.5, anchor="start")

    # The NFU.
    d.parts.append(
        f'<rect x="640" y="180" width="390" height="420" rx="6" fill="none" stroke="{INK}" '
        'stroke-dasharray="2 3"/>'
    )
    d.text(1018, 198, "NFU", 13, "bold", "end")
    d.box(670, 210, 330, 90, "NFU-1", f"{config.tn} x {config.ti} multipliers",
          f"{'partial-product array' if config.multiplier == 'array' else 'DSP blocks'}, "
          f"drop {config.drop}", f"{config.nfu1_stages} stages", fill=COMPUTE)  # fmt: skip
    d.box(670, 340, 330, 100, "NFU-2",
          f"{config.tn} adder trees of {config.ti} inputs; maximum, sum",
          f"{config.tn} partial sums of {config.acc_width} bits",
          f"{config.bias_rows} rows of biases; {config.nfu2_stages} stages",
          fill=COMPUTE)  # fmt: skip
    d.box(670, 480, 330, 100, "NFU-3", "shift, round, saturate",
          f"{config.tn} piecewise-linear functions", f"of {config.segments} segments; "
          f"{config.nfu3_stages} stages", fill=COMPUTE)  # fmt: skip
    d.arrow((570, 235), (670, 235), label=str(neurons), at=(605, 228))
    d.arrow((570, 385), (615, 385), (615, 270), (670, 270), label=str(row), at=(592, 378))
    d.arrow((835, 300), (835, 340), label=f"{config.tn * config.ti} products", at=(845, 324),
            anchor="start")  # fmt: skip
    d.arrow((835, 440), (835, 480), label="finished sums", at=(845, 464), anchor="start")
    d.arrow((670, 415), (600, 415), (600, 510), (570, 510), label=str(partial), at=(652, 408))
    d.arrow((570, 528), (630, 528), (630, 430), (670, 430))
    d.arrow((670, 560), (570, 560), label=str(outputs), at=(625, 554))
    return d.svg()


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else "diannao-16x16"
    if name not in CONFIGS:
        sys.exit(f"{name!r} is no configuration; there are {', '.join(CONFIGS)}")
    sys.stdout.write(draw(CONFIGS[name]))


if __name__ == "__main__":
    main()
