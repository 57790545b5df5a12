"""Configuration of a DianNao core: what the user sets, and what follows from it."""

from dataclasses import dataclass, fields, replace

from ..arith.numbers import bounds, error_bounds
from ..bus.row_beats import least_rows
from ..errors import UserError

__all__ = ["CONFIGS", "Config", "ConfigError"]


class ConfigError(UserError):
    """A configuration field is out of range; the message names field, value and rule."""


def _power_of_two(value: int) -> bool:
    return value >= 1 and value & (value - 1) == 0


@dataclass(frozen=True, kw_only=True)
class Config:
    """Parameters of one core. Defaults are the paper's 16x16 machine (sections 5 and 6).

    Parameters
    ----------
    name : names the generated module
    tn : hardware neurons (outputs computed together)
    ti : synapses per neuron (inputs consumed together)
    width : bits of a neuron or synapse, 8 or 16
    drop : partial-product columns left out of each multiplier, 0 to ``width``
    multiplier : "array" builds the partial-product array, "dsp" writes ``*`` for DSP blocks
        (needs ``drop = 0``)
    nbin_rows, sb_rows, nbout_rows : rows of the three scratchpads
    bias_rows : rows of the bias buffer, which is the number of output groups one block can hold
    segments : segments of the piecewise-linear activation
    max_reduction : longest sum of products the accumulator must hold exactly
    nbin_port, sb_port, nbout_port, cp_port : widths of the four memory ports in bits
    shared_port : one AXI port for everything (the paper's AXI mux); all port widths are then equal
    address_width : bits of a memory address
    outstanding : bursts in flight per port
    burst : longest burst in beats
    burst_cycles : cycles in which a port sends a burst, 1 or 2; 2 saves a long path and lets a fast
        clock be met on FPGAs, at a cycle for each burst that nothing else hides
    nbin_fifo : beats of read data that may wait in front of NBin (covers the memory's latency)
    instruction_buffer : bytes of prefetched program
    queue : instructions that wait in front of each unit; with 0, the control processor itself holds
        one until its unit takes it
    operand_stages : pipeline registers of operand fetch, 2 to 5, see OperandFetch; more suit faster
        clocks, fewer a small device
    nfu1_stages, nfu2_stages, nfu3_stages : pipeline registers of the three NFU stages; the defaults
        suit DSP blocks, docs/asic.md says why the paper's machines have others
    nfu3_lanes : outputs that NFU-3 makes at a time, a divisor of ``tn``; 0 for all of them. With
        fewer, a row of outputs takes NFU-3 ``tn / nfu3_lanes`` cycles
    nfu3_multiplier : as ``multiplier``, for NFU-3, or "adders", the smallest on an FPGA that has no
        DSP blocks left; empty for the same
    paced : the NFU's pipeline never stops: a step that finishes a row of outputs is held back until
        the row has room at the other end. Without, the pipeline fills up first, but what stops it
        is a long path to each of its registers; needs 4 rows in NBout
    counters : count stalls and bytes as well as cycles
    engine : one small engine makes the bursts of all units, one after the other, and the program is
        decoded 16 bits per cycle: half the logic on the way to memory, for small FPGAs. For a
        shared port of at most 64 bits
    """

    name: str = "custom"
    tn: int = 16
    ti: int = 16
    width: int = 16
    drop: int = 0
    multiplier: str = "dsp"
    nbin_rows: int = 64
    sb_rows: int = 64
    nbout_rows: int = 64
    bias_rows: int = 16
    segments: int = 16
    max_reduction: int = 32768
    nbin_port: int = 256
    sb_port: int = 1024
    nbout_port: int = 256
    cp_port: int = 64
    shared_port: bool = False
    address_width: int = 32
    outstanding: int = 32
    burst: int = 64
    burst_cycles: int = 1
    nbin_fifo: int = 128
    instruction_buffer: int = 8192
    queue: int = 4
    operand_stages: int = 3
    nfu1_stages: int = 3
    nfu2_stages: int = 2
    nfu3_stages: int = 3
    nfu3_lanes: int = 0
    nfu3_multiplier: str = ""
    paced: bool = False
    counters: bool = True
    engine: bool = False

    def __post_init__(self):
        def check(field: str, ok: bool, rule: str):
            if not ok:
                raise ConfigError(f"{field} must be {rule}, not {getattr(self, field)!r}")

        for field in fields(self):
            value = getattr(self, field.name)
            if type(value) is not field.type:
                raise ConfigError(
                    f"{field.name} must be of type {getattr(field.type, '__name__', '')}, "
                    f"not {value!r}"
                )
        for field in ("tn", "ti"):
            check(field, 1 <= getattr(self, field) <= 256, "1 to 256")
        check("width", self.width in (8, 16), "8 or 16")
        check("drop", 0 <= self.drop <= self.width, f"0 to width ({self.width})")
        check("multiplier", self.multiplier in ("dsp", "array"), '"dsp" or "array"')
        if self.multiplier == "dsp":
            check("drop", self.drop == 0, '0 with multiplier = "dsp"')
        check("nbin_rows", 4 <= self.nbin_rows <= 4096, "4 to 4096")
        check("sb_rows", 2 <= self.sb_rows <= 4096, "2 to 4096")
        check("nbout_rows", 2 <= self.nbout_rows <= 4096, "2 to 4096")
        check("bias_rows", 1 <= self.bias_rows <= 256, "1 to 256")
        check("segments", 2 <= self.segments <= 64, "2 to 64")
        check("max_reduction", 1 <= self.max_reduction <= 1 << 20, "1 to 1048576")
        for field in ("nbin_port", "sb_port", "nbout_port", "cp_port"):
            value = getattr(self, field)
            check(
                field,
                32 <= value <= 4096 and _power_of_two(value),
                "a power of two from 32 to 4096",
            )
        fewest = least_rows(self.tn * self.element_bytes, self.nbout_port // 8)
        check(
            "nbout_rows", self.nbout_rows >= fewest, f"at least {fewest} to fill nbout_port's beat"
        )
        check(
            "nbin_port",
            self.nbin_elements >= 4 * self.nbin_port // (8 * self.element_bytes),
            "at most a quarter of NBin",
        )
        check("cp_port", self.cp_port <= 1024, "at most 1024")
        if self.shared_port:
            widths = {self.nbin_port, self.sb_port, self.nbout_port, self.cp_port}
            check("shared_port", len(widths) == 1, "False unless all port widths are equal")
        check("nbin_rows", self.nbin_elements < 1 << 15, "small enough for 15-bit element offsets")
        check("address_width", 16 <= self.address_width <= 64, "16 to 64")
        check("outstanding", 1 <= self.outstanding <= 256, "1 to 256")
        check("burst", 1 <= self.burst <= 256, "1 to 256")
        check("burst_cycles", self.burst_cycles in (1, 2), "1 or 2")
        check("nbin_fifo", 2 <= self.nbin_fifo <= 1024, "2 to 1024")
        check(
            "instruction_buffer",
            256 <= self.instruction_buffer <= 65536 and _power_of_two(self.instruction_buffer),
            "a power of two from 256 to 65536",
        )
        check("queue", 0 <= self.queue <= 64, "0 to 64")
        check("operand_stages", 2 <= self.operand_stages <= 5, "2 to 5")
        for field in ("nfu1_stages", "nfu2_stages", "nfu3_stages"):
            check(field, 1 <= getattr(self, field) <= 16, "1 to 16")
        check(
            "nfu3_lanes",
            self.nfu3_lanes >= 0 and self.tn % self.activation_lanes == 0,
            f"0 or a divisor of tn ({self.tn})",
        )
        check(
            "nfu3_multiplier",
            self.nfu3_multiplier in ("", "dsp", "array", "adders"),
            'empty, "dsp", "array" or "adders"',
        )
        if self.nfu3_multiplier in ("dsp", "adders"):
            check("drop", self.drop == 0, f'0 with nfu3_multiplier = "{self.nfu3_multiplier}"')
        if self.engine:
            check("engine", self.shared_port, "False without shared_port")
            check("engine", self.nbin_port <= 64, "False unless the ports have 32 or 64 bits")
            # What an NBin slot skips is counted in bytes, in a number as wide as an address.
            least = 16 + (self.element_bytes - 1).bit_length()
            check(
                "address_width",
                least <= self.address_width <= 32,
                f"{least} to 32 with engine and neurons of {self.width} bits",
            )
        check("paced", not self.paced or self.nbout_rows >= 4, "False with fewer than 4 nbout_rows")

    def replace(self, **changes) -> "Config":
        """A copy with some fields changed; raises ConfigError for unknown or bad ones."""
        known = {field.name for field in fields(self)}
        for key in changes:
            if key not in known:
                raise ConfigError(
                    f"unknown configuration key {key!r}; known: {', '.join(sorted(known))}"
                )
        return replace(self, **changes)

    # What follows from the above.

    @property
    def element_bytes(self) -> int:
        """Bytes of one neuron or synapse in memory."""
        return self.width // 8

    @property
    def slots_in_work(self) -> int:
        """Slots of a unit whose data may be on their way.

        A slot takes the control processor six fetches or more, so 16 cover a memory latency of
        about a hundred cycles even if each slot moves a single word.
        """
        return min(16, self.outstanding + 1)

    @property
    def decoded_bits(self) -> int:
        """Bits of the program that are decoded in a cycle."""
        return 16 if self.engine else 64

    @property
    def nbin_burst(self) -> int:
        """Most beats of NBin's bursts.

        A burst is requested when it has room as a whole, so short ones keep the FIFO fuller, and
        the fuller it is, the more latency it covers.
        """
        return min(self.burst, max(1, self.nbin_fifo // 4))

    @property
    def cp_burst(self) -> int:
        """Most beats of the program's bursts: at most half of the instruction buffer."""
        return min(self.burst, self.instruction_buffer // (self.cp_port // 8) // 2)

    @property
    def lanes(self) -> int:
        """Lanes of the pooling path, which takes one neuron per lane and cycle."""
        return min(self.tn, self.ti)

    @property
    def activation_lanes(self) -> int:
        """Outputs that NFU-3 makes at a time."""
        return self.nfu3_lanes or self.tn

    @property
    def activation_cycles(self) -> int:
        """Cycles that NFU-3 takes for a row of outputs."""
        return self.tn // self.activation_lanes

    @property
    def acc_width(self) -> int:
        """Bits of a partial sum: holds ``max_reduction`` products plus the bias exactly."""
        error = max(map(abs, error_bounds(self.width, self.drop)))
        product = (1 << (2 * self.width - 2)) + error
        bias = -bounds(2 * self.width)[0]
        return (self.max_reduction * product + bias).bit_length() + 1

    @property
    def nbin_banks(self) -> int:
        """NBin's single-element banks: a power of two, so that offsets split into row and bank."""
        written = self.nbin_port // (8 * self.element_bytes)
        if self.engine and self.element_bytes > 1:
            written += 1  # a beat may begin in the middle of an element
        return 1 << (max(self.ti, written) - 1).bit_length()

    @property
    def nbin_elements(self) -> int:
        """Capacity of NBin's ring in elements (at least ``nbin_rows * ti``)."""
        return -(-self.nbin_rows * self.ti // self.nbin_banks) * self.nbin_banks

    @property
    def nbin_read_stages(self) -> int:
        """Cycles in which NBin is read, the last ones of operand fetch."""
        return max(2, self.operand_stages - 1)

    @property
    def sb_row_bits(self) -> int:
        """Bits of one SB row: Tn*Ti synapses, and never less than Tn biases (2*width each)."""
        return max(self.tn * self.ti, 2 * self.tn) * self.width

    @property
    def weight_row_bytes(self) -> int:
        """Bytes in memory of one row of Tn*Ti synapses, padded to whole beats of the SB port."""
        return self._beats(self.tn * self.ti * self.element_bytes)

    @property
    def bias_row_bytes(self) -> int:
        """Bytes in memory of a row of Tn parameter words, padded to whole beats of the SB port."""
        return self._beats(2 * self.tn * self.element_bytes)

    def _beats(self, count: int) -> int:
        beat = self.sb_port // 8
        return -(-count // beat) * beat

    @property
    def table_words(self) -> int:
        """Parameter words (2*width bits) of an activation table: two per segment."""
        return 2 * self.segments

    @property
    def table_rows(self) -> int:
        """Parameter rows (Tn words each) that load a whole activation table."""
        return -(-self.table_words // self.tn)


CONFIGS: dict[str, Config] = {
    config.name: config
    for config in (
        Config(
            name="diannao-16x16",
            multiplier="array",
            drop=8,
            outstanding=64,
            nfu1_stages=2,
            nfu3_stages=5,
        ),
        Config(
            name="diannao-8x8",
            tn=8,
            ti=8,
            multiplier="array",
            drop=8,
            nbin_port=128,
            sb_port=512,
            nbout_port=128,
            nfu1_stages=2,
            nfu3_stages=5,
        ),
        Config(name="fpga-16x16"),
        Config(
            name="fpga-8x8",
            tn=8,
            ti=8,
            nbin_port=64,
            sb_port=128,
            nbout_port=64,
            nbin_fifo=16,
            instruction_buffer=2048,
        ),
        Config(
            name="tiny",
            tn=2,
            ti=4,
            nbin_rows=64,
            sb_rows=32,
            nbout_rows=16,
            bias_rows=4,
            nbin_port=32,
            sb_port=64,
            nbout_port=32,
            nbin_fifo=8,
            outstanding=4,
            burst=16,
            max_reduction=4096,
            instruction_buffer=512,
            queue=2,
        ),
    )
}
"""The named configurations."""
