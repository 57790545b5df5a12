"""Random traffic with random pauses over the RTL of meshes of random parameters.

    python scripts/soak_mesh.py --count 5 --rounds 500

Every packet must arrive once, whole and in order. A failure names the seed that repeats it:
``--seed SEED --count 1``.
"""

import random
import sys
import tempfile
from pathlib import Path
from typing import Annotated

sys.path.insert(0, str(Path(__file__).parent.parent))  # the tests are no installed package

import typer

from hw.mesh.mesh import Mesh
from sim.cosim import simulate
from tests.hw.mesh.traffic import mesh_config


def random_parameters(seed: int, most: int) -> dict:
    """Parameters of a mesh of at most ``most`` nodes, as ``mesh_config`` takes them."""
    rng = random.Random(seed)
    rows = rng.randint(1, min(8, most))
    unit = rng.randint(1, 8)
    return {
        "rows": rows,
        "columns": rng.randint(1 if rows > 1 else 2, max(2, min(8, most // rows))),
        "data_width": rng.choice([16, 64, 128]),
        "vcs": rng.choice([1, 2, 4, 8]),
        "local_depth": rng.randint(2, 8),
        "link_depth": rng.randint(2, 20),
        "fifo": rng.randint(3, 6),
        "link_latency": rng.choice([1, 2, 9, 49]),
        "link_interval": (rng.randint(unit, 3 * unit), unit),
    }


def main(
    count: Annotated[int, typer.Option(min=1, help="meshes")] = 5,
    rounds: Annotated[int, typer.Option(min=1, help="rounds of traffic on each mesh")] = 500,
    nodes: Annotated[int, typer.Option(min=2, max=64, help="most nodes of a mesh")] = 6,
    seed: Annotated[int | None, typer.Option(help="first seed (default: a random one)")] = None,
) -> None:
    """Run random traffic on random meshes."""
    first = random.randrange(1 << 31) if seed is None else seed
    for number in range(first, first + count):
        parameters = random_parameters(number, nodes)
        print(f"seed {number}: {parameters}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            simulate(
                Mesh(config=mesh_config(parameters)), "mesh", "tests.hw.mesh.bench_soak",
                simulator="verilator", work_dir=Path(folder), seed=number,
                config=parameters | {"rounds": rounds},
            )  # fmt: skip


if __name__ == "__main__":
    typer.run(main)
