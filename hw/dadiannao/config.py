"""Configuration of a DaDianNao machine: what the user sets, and what follows from it."""

from dataclasses import dataclass, fields, replace
from fractions import Fraction
from functools import cached_property

from ..diannao.config import Config, ConfigError
from ..mesh.config import MeshConfig
from ..nfu.layouts import Control

__all__ = ["CONFIGS", "NodeConfig"]


def _mesh_of(nodes: object) -> str:
    """What to set for a number of nodes."""
    count = int(str(nodes)) if str(nodes).isdecimal() else 0  # as it comes from a command line
    sides = range(1, 9)
    shapes = [(a, b) for a in sides for b in sides if a <= b and a * b == count]
    if not shapes:
        return f"{nodes} nodes are no mesh of rows x columns, 1 to 8 each; set rows and columns"
    rows, columns = shapes[-1]
    return f"nodes are set as rows x columns: {nodes} are rows={rows} and columns={columns}"


def _power_of_two(value: int) -> bool:
    return value >= 1 and value & (value - 1) == 0


@dataclass(frozen=True, kw_only=True)
class NodeConfig:
    """Parameters of a machine of one or more nodes. Defaults are the paper's (sections V and VI).

    Parameters
    ----------
    name : names the generated module
    rows, columns : nodes of the mesh, 1 to 8 each
    tiles : of a node, a power of two from 1 to 64
    tn, ti : outputs and inputs of a tile's NFU, powers of two and equal: outputs of one layer are
        inputs of the next, in rows of as many neurons
    width, drop, multiplier : see ``hw.diannao.config.Config``
    nbin_rows : rows of Ti neurons of a tile's NBin
    sb_banks : banks of a tile's SB, interleaved by row; a power of two
    sb_rows : rows of Tn x Ti synapses of a tile's SB, all banks together
    nbout_rows, bias_rows : rows of Tn partial sums, and of Tn biases, of a tile
    segments, max_reduction : see ``hw.diannao.config.Config``
    aggregate : the NFU's operators can join for numbers of twice the width, and NFU-3 has a second
        table; for ``drop`` 0
    training : NFU-1 can hold neurons, and the tile adds their products to its synapses; needs
        ``aggregate``
    central_rows : rows of Ti neurons in each of the two central memories
    memory : what SB and the central memories are made of: "ram" in the generated Verilog, or
        "macro", black boxes with a simulation model beside them
    sb_latency, central_latency : cycles from a row's address to its content
    sb_restore, central_restore : cycles after a read in which its bank writes the row back, since
        reading destroys it; 0 for memories that keep it
    refresh_interval : cycles from one refresh of a bank to the next, each of one row and lasting
        one cycle; 0 for memories that need none
    central_banks : banks of a central memory, interleaved by row; a power of two
    arity : children of an inner node of the fat tree, a power of two, at least 2
    trunk : bits of the tree's branches; a row takes as many cycles as it has trunks
    masks : entries of the table of tile masks, up to 256
    address_width : bits of an address in the host's memory
    bus_port : bits of the port to the host's memory
    outstanding, burst, instruction_buffer : see ``hw.diannao.config.Config``
    queue : instructions that wait in front of each unit, 1 to 64
    nfu1_stages, nfu2_stages, nfu3_stages : pipeline registers of the three NFU stages
    clock_mhz : clock that times and rates are quoted for
    link_latency : cycles of a link between nodes
    link_bandwidth : bytes per 1000 cycles of such a link
    link_buffer : flits of each virtual channel that wait at the end of a link, and between node and
        router; the default lets one virtual channel use all of a link of the default latency, and
        nodes send in all directions at a time (see docs/mesh.md)
    """

    name: str = "custom"
    rows: int = 1
    columns: int = 1
    tiles: int = 16
    tn: int = 16
    ti: int = 16
    width: int = 16
    drop: int = 0
    multiplier: str = "dsp"
    nbin_rows: int = 512
    sb_banks: int = 4
    sb_rows: int = 4096
    nbout_rows: int = 128
    bias_rows: int = 64
    segments: int = 16
    max_reduction: int = 32768
    aggregate: bool = False
    training: bool = False
    central_rows: int = 65536
    memory: str = "ram"
    sb_latency: int = 3
    sb_restore: int = 1
    central_latency: int = 10
    central_restore: int = 1
    refresh_interval: int = 0
    central_banks: int = 4
    arity: int = 4
    trunk: int = 256
    masks: int = 64
    address_width: int = 32
    bus_port: int = 256
    outstanding: int = 32
    burst: int = 64
    instruction_buffer: int = 8192
    queue: int = 4
    nfu1_stages: int = 3
    nfu2_stages: int = 2
    nfu3_stages: int = 3
    clock_mhz: int = 606
    link_latency: int = 49
    link_bandwidth: int = 10561
    link_buffer: int = 68

    def __post_init__(self):
        def check(field: str, ok: bool, rule: str):
            if not ok:
                raise ConfigError(f"{field} must be {rule}, not {getattr(self, field)!r}")

        def power_of_two(field: str, low: int, high: int):
            value = getattr(self, field)
            ok = low <= value <= high and _power_of_two(value)
            check(field, ok, f"a power of two from {low} to {high}")

        for field in fields(self):
            value = getattr(self, field.name)
            if type(value) is not field.type:
                raise ConfigError(
                    f"{field.name} must be of type {getattr(field.type, '__name__', '')}, "
                    f"not {value!r}"
                )
        for field in ("rows", "columns"):
            check(field, 1 <= getattr(self, field) <= 8, "1 to 8")
        power_of_two("tiles", 1, 64)
        power_of_two("tn", 2, 64)
        check("ti", self.ti == self.tn, f"equal to tn ({self.tn})")
        check("width", self.width in (8, 16), "8 or 16")
        power_of_two("sb_banks", 1, 16)
        power_of_two("central_banks", 1, 64)
        for memory, most in (("sb", 4096), ("central", 1 << 23)):
            rows, banks = getattr(self, f"{memory}_rows"), getattr(self, f"{memory}_banks")
            check(
                f"{memory}_rows",
                2 * banks <= rows <= most and rows % banks == 0,
                f"{2 * banks} to {most} and a multiple of the {banks} banks",
            )
        check("memory", self.memory in ("ram", "macro"), '"ram" or "macro"')
        for field in ("sb_latency", "central_latency"):
            check(field, 1 <= getattr(self, field) <= 64, "1 to 64")
        for field in ("sb_restore", "central_restore"):
            check(field, 0 <= getattr(self, field) <= 8, "0 to 8")
        check(
            "refresh_interval",
            self.refresh_interval == 0 or 64 <= self.refresh_interval <= 1 << 20,
            "0, or 64 to 1048576",
        )
        power_of_two("arity", 2, 64)
        check(
            "trunk",
            8 <= self.trunk <= self.row_bits and self.row_bits % self.trunk == 0,
            f"a divisor of a row's {self.row_bits} bits, at least 8",
        )
        check("masks", 1 <= self.masks <= 256, "1 to 256")
        check("queue", 1 <= self.queue <= 64, "1 to 64")
        check("nbin_rows", 4 <= self.nbin_rows <= 4096, "4 to 4096")
        power_of_two("bus_port", 32, 1024)
        check(
            "bus_port",
            4 * self.bus_port <= self.nbin_rows * self.row_bits,
            f"at most a quarter of NBin's {self.nbin_rows * self.row_bits} bits",
        )
        check("clock_mhz", 1 <= self.clock_mhz <= 10000, "1 to 10000")
        check("link_bandwidth", 16 <= self.link_bandwidth <= 1 << 20, "16 to 1048576")
        check("aggregate", not (self.aggregate and self.drop), "false, as drop is not 0")
        check("training", self.aggregate or not self.training, "false without aggregate")
        check("link_buffer", 2 <= self.link_buffer <= 256, "2 to 256")
        _ = self.core, self.mesh  # their rules are ours

    def replace(self, **changes) -> "NodeConfig":
        """A copy with some fields changed; raises ConfigError for unknown or bad ones."""
        known = {field.name for field in fields(self)}
        for key in changes:
            if key == "nodes":
                raise ConfigError(_mesh_of(changes[key]))
            if key not in known:
                raise ConfigError(
                    f"unknown configuration key {key!r}; known: {', '.join(sorted(known))}"
                )
        return replace(self, **changes)

    # What follows from the above.

    @cached_property
    def core(self) -> Config:
        """A tile as a DianNao core: what its NFU, its buffers and its nests are made for."""
        return Config(
            name=self.name, tn=self.tn, ti=self.ti, width=self.width, drop=self.drop,
            multiplier=self.multiplier, nbin_rows=self.nbin_rows, sb_rows=self.sb_rows,
            nbout_rows=self.nbout_rows, bias_rows=self.bias_rows, segments=self.segments,
            max_reduction=self.max_reduction, nbin_port=self.bus_port, sb_port=self.bus_port,
            nbout_port=self.bus_port, cp_port=self.bus_port, shared_port=True,
            address_width=self.address_width, outstanding=self.outstanding, burst=self.burst,
            instruction_buffer=self.instruction_buffer, queue=self.queue,
            nfu1_stages=self.nfu1_stages, nfu2_stages=self.nfu2_stages,
            nfu3_stages=self.nfu3_stages,
        )  # fmt: skip

    @cached_property
    def control(self) -> Control:
        """Control that goes with a step through a tile's NFU."""
        return Control(
            self.nbout_rows, self.bias_rows, self.aggregate, self.sb_rows if self.training else 0
        )

    @cached_property
    def mesh(self) -> MeshConfig:
        """The network between the nodes."""
        data_width = min(128, self.row_bits)
        interval = max(Fraction(1), Fraction(data_width // 8 * 1000, self.link_bandwidth))
        return MeshConfig(
            rows=self.rows, columns=self.columns, data_width=data_width,
            link_latency=self.link_latency, link_interval=interval.limit_denominator(1024),
            local_depth=self.link_buffer, link_depth=self.link_buffer,
        )  # fmt: skip

    @property
    def nodes(self) -> int:
        return self.rows * self.columns

    @property
    def element_bytes(self) -> int:
        """Bytes of one neuron or synapse in memory."""
        return self.width // 8

    @property
    def row_bits(self) -> int:
        """Bits of a row of Ti neurons."""
        return self.ti * self.width

    @property
    def row_bytes(self) -> int:
        """Bytes of a row of Ti neurons in memory."""
        return self.row_bits // 8

    @property
    def trunk_beats(self) -> int:
        """Cycles that a row takes on a branch of the fat tree."""
        return self.row_bits // self.trunk

    @property
    def table_rows(self) -> int:
        """SB rows (of Tn parameter words each) that load a whole activation table."""
        return self.core.table_rows


CONFIGS: dict[str, NodeConfig] = {
    config.name: config
    for config in (
        NodeConfig(name="dadiannao"),
        NodeConfig(name="dadiannao-4", rows=2, columns=2),
        NodeConfig(
            name="dadiannao-tiny", tiles=4, tn=4, ti=4, nbin_rows=256, sb_rows=512, nbout_rows=32,
            bias_rows=8, central_rows=1024, trunk=64, bus_port=64, outstanding=8, burst=16,
            instruction_buffer=1024, queue=2, max_reduction=4096, arity=2,
        ),
        NodeConfig(
            name="dadiannao-tiny-4", rows=2, columns=2, tiles=4, tn=4, ti=4, nbin_rows=256,
            sb_rows=512, nbout_rows=32, bias_rows=8, central_rows=1024, trunk=64, bus_port=64,
            outstanding=8, burst=16, instruction_buffer=1024, queue=2, max_reduction=4096, arity=2,
        ),
        NodeConfig(name="dadiannao-training", aggregate=True, training=True),
        NodeConfig(
            name="dadiannao-tiny-training", tiles=4, tn=4, ti=4, nbin_rows=256, sb_rows=512,
            nbout_rows=32, bias_rows=8, central_rows=8192, trunk=64, bus_port=64, outstanding=8,
            burst=16, instruction_buffer=1024, queue=2, max_reduction=4096, arity=2,
            aggregate=True, training=True,
        ),
    )
}  # fmt: skip
"""The named configurations."""
