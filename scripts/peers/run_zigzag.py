"""Evaluate a layer with ZigZag's model of DianNao, in ZigZag's own environment.

``python run_zigzag.py LAYER.json FOLDER`` keeps its files in FOLDER and prints the cycles of the
best mapping as JSON. The machine has DianNao's array (16 neurons of 16 synapses) and buffers (NBin
2 KB, SB 32 KB, NBout 2 KB, each with a row per cycle) on a memory of 256 bits per cycle. What
accesses cost does not matter, because the search is for the fewest cycles.
"""

import contextlib
import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

from zigzag.api import get_hardware_performance_zigzag  # pyright: ignore[reportMissingImports]

INPUT, WEIGHT, OUTPUT = "I1", "I2", "O"
UP = ("fh", "fl")  # what comes from above and from below is written, the rest is read
BITS = 16


def memory(size: int, bandwidth: int, *operands: str, shared: bool = False) -> dict:
    """A memory of ``size`` bits, with a port for reading and one for writing, or one for both."""
    ways = {True: [], False: []}
    for operand in operands:
        for direction in ("fh", "tl", "fl", "th") if operand == OUTPUT else ("fh", "tl"):
            ways[direction in UP].append(f"{operand}, {direction}")
    if shared:
        ports = [("rw_port_1", "read_write", ways[True] + ways[False])]
    else:
        ports = [("r_port_1", "read", ways[False]), ("w_port_1", "write", ways[True])]
    return {
        "size": size, "r_cost": 1, "w_cost": 1, "area": 0, "latency": 1,
        "operands": list(operands), "served_dimensions": ["D1", "D2"],
        "ports": [
            {"name": name, "type": kind, "bandwidth_min": BITS, "bandwidth_max": bandwidth,
             "allocation": allocation}
            for name, kind, allocation in ports
        ],
    }  # fmt: skip


ACCELERATOR = {
    "name": "diannao",
    "memories": {
        "nbin": memory(2048 * 8, 256, INPUT),
        "sb": memory(32768 * 8, 4096, WEIGHT),
        "nbout": memory(2048 * 8, 256, OUTPUT),
        "dram": memory(1 << 40, 256, INPUT, WEIGHT, OUTPUT, shared=True),
    },
    "operational_array": {
        "unit_energy": 1, "unit_area": 1, "dimensions": ["D1", "D2"], "sizes": [16, 16],
    },
}  # fmt: skip

MAPPING = [
    {
        "name": "default",
        "spatial_mapping": {"D1": ["K, 16"], "D2": ["C, 16"]},
        "memory_operand_links": {"O": OUTPUT, "W": WEIGHT, "I": INPUT},
    }
]


def workload(layer: dict) -> list[dict]:
    """The layer as a nest of loops."""
    size, kernel, padding = layer["size"], layer["kernel"], layer["padding"]
    return [
        {
            "id": 0, "name": "layer", "operator_type": "Conv",
            "equation": "O[b][k][oy][ox]+=W[k][c][fy][fx]*I[b][c][iy][ix]",
            "dimension_relations": ["ix=1*ox+1*fx", "iy=1*oy+1*fy"],
            "loop_dims": ["B", "K", "C", "OY", "OX", "FY", "FX"],
            "loop_sizes": [1, layer["outputs"], layer["inputs"], size, size, kernel, kernel],
            "pr_loop_dims": ["IX", "IY"], "pr_loop_sizes": [size, size],
            "padding": [[padding, padding], [padding, padding]],
            "operand_precision": {"W": BITS, "I": BITS, "O": BITS, "O_final": BITS},
            "operand_source": {"I": 0, "W": 0},
        }
    ]  # fmt: skip


def main() -> None:
    layer, folder = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    files = {"accelerator": ACCELERATOR, "mapping": MAPPING, "workload": workload(layer)}
    for name, content in files.items():
        (folder / f"{name}.yaml").write_text(json.dumps(content))  # JSON is YAML
    start = time.process_time()
    with (folder / "log").open("w") as log, contextlib.redirect_stdout(log):
        _, cycles, _ = get_hardware_performance_zigzag(
            **{name: str(folder / f"{name}.yaml") for name in files},
            opt="latency", dump_folder=str(folder), loma_show_progress_bar=False,
        )  # fmt: skip
    print(
        json.dumps({
            "version": version("zigzag-dse"),
            "cycles": round(cycles),
            "seconds": time.process_time() - start,
        })
    )  # fmt: skip


if __name__ == "__main__":
    main()
