"""Accesses that are counted in programs, against what the interpreter does."""

from collections import Counter

from hw.dadiannao.config import CONFIGS
from tests.compiler.dadiannao.networks import check
from tests.compiler.networks import Network

CONFIG = CONFIGS["dadiannao-tiny-4"].replace(nbin_rows=32, rows=2, columns=3)


def test_as_the_interpreter_counts():
    net = Network(CONFIG.core, 3)
    x = net.conv(net.input(1, 12, 9, 9), 8, (3, 3), pads=(1, 1, 1, 1))
    graph = net.graph(net.gemm(net.gemm(net.pool(x, "max"), 200), 9))
    program, done = check(graph, CONFIG)
    found: Counter[str] = Counter()
    for counts in program.accesses.values():
        found.update(counts)
    layers = [layer for node in done.nodes for layer in node.values()]
    total = {
        name: sum(getattr(layer, name) for layer in layers)
        for name in ("rows_read", "rows_written", "rows_sent", "rows_received", "steps")
    }
    assert found["nbin_written"] == total["rows_received"]
    assert found["nbin_read"] == total["steps"]
    moved = done.bytes["nbin"] // CONFIG.row_bytes, done.bytes["nbout"] // CONFIG.row_bytes
    reads = found["central_0_read"] + found["central_1_read"]
    assert 0 <= reads - total["rows_read"] - total["rows_sent"] - moved[1] <= 60  # rows not full
    written = found["central_0_written"] + found["central_1_written"]
    assert written >= total["rows_written"] + total["rows_sent"] + moved[0]
    # Every sum of a layer with several chunks is read as often as it is written.
    assert found["nbout_read"] == found["nbout_written"] > 0


def test_links_are_the_way_of_the_routers():
    mesh = CONFIG.mesh
    for sender in range(mesh.nodes):
        for receiver in range(mesh.nodes):
            way = mesh.way(sender, receiver)
            (y, x), (to_y, to_x) = divmod(sender, 3), divmod(receiver, 3)
            assert len(way) == abs(y - to_y) + abs(x - to_x)
            here = sender
            for a, b in way:
                assert a == here
                assert abs(a - b) in (1, 3)
                assert abs(a - b) == 1 or a % 3 == to_x  # the row first
                here = b
            assert here == receiver
