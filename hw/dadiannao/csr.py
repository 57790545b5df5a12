"""The register map of a DaDianNao node, declared once."""

from collections.abc import Callable

from ..bus.registers import Access, Field, Register, RegisterMap
from ..diannao.csr import COUNTERS as DIANNAO_COUNTERS
from ..program.registers import command_registers, counter_registers
from .config import NodeConfig
from .isa import ErrorCode

__all__ = [
    "ADDRESS_WIDTH",
    "COUNTERS",
    "IDENTIFICATION",
    "STATUS",
    "VERSION",
    "read_config",
    "register_map",
]

ADDRESS_WIDTH = 12
"""Bits of an address of a node's control port: it takes 4 KiB of a bus."""

IDENTIFICATION = 0x44414449
"""ASCII "DADI", the first character highest."""

VERSION = (1, 1)
"""Major and minor version of register map and instruction set; see ``hw.diannao.csr``."""

COUNTERS = {
    **DIANNAO_COUNTERS,
    "CYCLES": "cycles from start to the end of the program or of the clean-up after an error",
    "NFU_ACTIVE": "cycles in which some tile did a step of MAC, MAX or SUM",
    "STALL_NBIN": "cycles in which no tile did a step, and some waited for neurons",
    "STALL_SB": "cycles in which no tile did a step, and some waited for synapses",
    "STALL_NBOUT": "cycles in which no tile did a step, and some waited for its rows to be fetched",
    "STALL_STORE": "cycles in which the tiles had nothing to do, and a fence waited",
    "STALL_INSTRUCTION": "cycles in which the tiles had no instruction",
    "BYTES_NBIN": "bytes read for the central memories",
    "BYTES_SB": "bytes read for the tiles' SB",
    "BYTES_NBOUT": "bytes written from the central memories",
    "ROWS_READ": "rows broadcast from the central memories",
    "ROWS_WRITTEN": "rows of tiles written to the central memories",
    "ROWS_SENT": "rows sent to other nodes",
    "ROWS_RECEIVED": "rows that came from other nodes",
}
"""The 64-bit counters; start sets them to 0. Names and places of the first ones are DianNao's."""

STATUS = ["NODE_ERRORS_LO", "NODE_ERRORS_HI", "LINK_WAITING"]
"""The registers that say something about the machine; they read 0 in all nodes but node 0."""


def _log2(value: int) -> int:
    return value.bit_length() - 1


_POWERS = {"sb_banks", "arity", "trunk", "bus_port", "central_banks"}
_CHOICES = {"multiplier": ("dsp", "array"), "memory": ("ram", "macro"),
            "aggregate": (False, True), "training": (False, True)}  # fmt: skip

_LAYOUT = {
    ("CONFIG_NFU", 0x010, "size of a tile's NFU"): {
        "tn": (0, 16, "hardware neurons"), "ti": (16, 16, "synapses per hardware neuron"),
    },
    ("CONFIG_NUMBERS", 0x014, "number formats"): {
        "width": (0, 8, "bits of a neuron or synapse"),
        "drop": (8, 8, "columns that the multipliers leave out"),
        "aggregate": (16, 1, "1 operators join for numbers of twice the width"),
        "training": (17, 1, "1 neurons can be held, and synapses updated"),
        "segments": (24, 7, "segments of the activation"),
        "multiplier": (31, 1, "1 partial-product arrays, 0 DSP blocks"),
    },
    ("CONFIG_NBIN", 0x018, "a tile's NBin"): {"nbin_rows": (0, 16, "rows of Ti neurons")},
    ("CONFIG_SB", 0x01C, "a tile's SB"): {
        "sb_rows": (0, 24, "rows of Tn x Ti synapses"),
        "sb_banks": (24, 8, "base-2 logarithm of its banks"),
    },
    ("CONFIG_NBOUT", 0x020, "a tile's NBout and bias buffer"): {
        "nbout_rows": (0, 16, "rows of Tn partial sums"),
        "bias_rows": (16, 16, "rows of Tn biases"),
    },
    ("CONFIG_REDUCTION", 0x024, "accumulators"): {
        "max_reduction": (0, 32, "longest exact sum of products"),
    },
    ("CONFIG_TREE", 0x028, "tiles and fat tree"): {
        "tiles": (0, 8, "tiles"),
        "arity": (8, 4, "base-2 logarithm of the children of an inner node"),
        "trunk": (12, 4, "base-2 logarithm of the bits of a branch"),
        "masks": (16, 9, "entries of the mask table"),
    },
    ("CONFIG_BUS", 0x02C, "memory interface"): {
        "address_width": (0, 8, "bits of an address"),
        "bus_port": (8, 4, "base-2 logarithm of the port's bits"),
        "outstanding": (12, 9, "reads in flight"),
        "burst": (21, 9, "longest burst in beats"),
    },
    ("CONFIG_QUEUES", 0x030, "queues"): {
        "instruction_buffer": (0, 17, "bytes of prefetched program"),
        "queue": (24, 7, "instructions in front of each unit"),
    },
    ("CONFIG_PIPELINE", 0x034, "pipeline stages"): {
        "nfu1_stages": (16, 5, "stages of NFU-1"),
        "nfu2_stages": (21, 5, "stages of NFU-2"),
        "nfu3_stages": (26, 5, "stages of NFU-3"),
    },
    ("CONFIG_CENTRAL", 0x038, "each central memory"): {
        "central_rows": (0, 24, "rows of Ti neurons"),
        "central_banks": (24, 8, "base-2 logarithm of its banks"),
    },
    ("CONFIG_MEMORY", 0x03C, "what the memories are made of"): {
        "sb_latency": (0, 7, "cycles from address to row in SB"),
        "sb_restore": (7, 4, "cycles that a bank of SB is busy after a read"),
        "central_latency": (11, 7, "cycles from address to row in a central memory"),
        "central_restore": (18, 4, "cycles that a bank of it is busy after a read"),
        "memory": (31, 1, "1 macros, 0 memory inferred from Verilog"),
    },
    ("CONFIG_REFRESH", 0x100, "refresh of the memories"): {
        "refresh_interval": (0, 21, "cycles from one to the next, 0 for none"),
    },
    ("CONFIG_MESH", 0x104, "nodes"): {
        "rows": (0, 4, "rows of the mesh"),
        "columns": (4, 4, "columns of the mesh"),
        "clock_mhz": (8, 14, "clock that rates are quoted for"),
    },
    ("CONFIG_LINK", 0x108, "links"): {
        "link_latency": (0, 11, "latency in cycles"),
        "link_buffer": (11, 9, "flits of a virtual channel at the end of a link"),
    },
    ("CONFIG_LINK_RATE", 0x10C, "bandwidth of the links"): {
        "link_bandwidth": (0, 21, "bytes per 1000 cycles"),
    },
}  # fmt: skip
"""Where each field of the configuration is: lowest bit, bits, description."""


def _encoded(config: NodeConfig, name: str) -> int:
    value = getattr(config, name)
    if name in _POWERS:
        return _log2(value)
    return _CHOICES[name].index(value) if name in _CHOICES else value


def _decoded(name: str, value: int):
    if name in _POWERS:
        return 1 << value
    return _CHOICES[name][value] if name in _CHOICES else value


def register_map(config: NodeConfig) -> RegisterMap:
    """All registers of a node; only the constants depend on the configuration."""
    constant = Access.CONSTANT
    version = VERSION[0] << 16 | VERSION[1]
    configuration = [
        Register(
            name, offset, doc,
            tuple(
                Field(key, about, low, width, constant, _encoded(config, key))
                for key, (low, width, about) in entries.items()
            ),
        )
        for (name, offset, doc), entries in _LAYOUT.items()
    ]  # fmt: skip
    return RegisterMap(
        [
            Register("ID", 0x000, 'identification, ASCII "DADI"',
                     (Field("id", "0x44414449", access=constant, reset=IDENTIFICATION),)),
            Register("VERSION", 0x004, "version of register map and instruction set",
                     (Field("version", "major in bits 31:16, minor in bits 15:0",
                            access=constant, reset=version),)),
            *configuration,
            *command_registers("node", ErrorCode),
            *counter_registers(COUNTERS),
            Register("NODE", 0x110, "which node this is",
                     (Field("node", "counted along the rows of the mesh"),)),
            Register("NODE_ERRORS_LO", 0x114, "nodes that have failed, in node 0",
                     (Field("nodes", "a bit for each of nodes 0 to 31"),)),
            Register("NODE_ERRORS_HI", 0x118, "nodes that have failed, in node 0",
                     (Field("nodes", "a bit for each of nodes 32 to 63"),)),
            Register("LINK_WAITING", 0x11C, "first link on which a word waits, in node 0",
                     (Field("link", "0 if there is none, or 1 + its number in the order of the "
                            "nodes that send and, of one node, east, west, north, south"),)),
        ]
    )  # fmt: skip


def read_config(read: Callable[[int], int], name: str = "node") -> NodeConfig:
    """The configuration of the node behind ``read``, which gives the register at a byte offset."""
    declared = register_map(NodeConfig())
    values = {}
    for (register, offset, _), entries in _LAYOUT.items():
        fields = declared[register].unpack(read(offset))
        values |= {key: _decoded(key, fields[key]) for key in entries}
    return NodeConfig(name=name, **values)
