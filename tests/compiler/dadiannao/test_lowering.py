"""Programs for DaDianNao machines, run by the interpreter, against golden: every output bit."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compiler.dadiannao import lower
from hw.dadiannao.assembler import decode
from hw.dadiannao.isa import LoadOp
from tests.compiler.networks import Network

from .networks import TINY, check, machines, networks

FAST = settings(
    derandomize=True, deadline=None, database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)  # fmt: skip


@given(st.data())
@settings(FAST, max_examples=60)
def test_one_layer(data):
    config = data.draw(machines())
    check(data.draw(networks(config, layers=1)), config)


@given(st.data())
@settings(FAST, max_examples=40)
def test_networks(data):
    config = data.draw(machines())
    check(data.draw(networks(config, layers=5)), config)


@given(st.data())
@settings(FAST, max_examples=40)
def test_several_nodes(data):
    config = data.draw(machines(nodes=True))
    check(data.draw(networks(config, layers=4)), config)


def test_a_layer_may_read_two_parts_of_a_concatenation():
    """What is given up too early would be overwritten by the classifier layer's outputs."""
    net = Network(TINY.core, 5)
    x = net.input(2, 8, 5, 2)
    y = net.add(x, x)
    z = net.add(x, y)
    both, t = net.concat(x, y), net.gemm(z, 2)
    check(net.graph(y, z, both, t, net.add(z, x)), TINY)


def test_inputs_are_loaded_in_long_runs():
    """Three channels are not a row: with gaps filled, an image is one run, not one per position."""
    net = Network(TINY.core, 1)
    graph = net.graph(net.conv(net.input(1, 3, 8, 9), 4, pads=(1, 1, 1, 1)))
    loads = [each.load for each in decode(lower(graph, TINY).words) if each.load is not None]
    (image,) = [load.descriptor for load in loads if load.op == LoadOp.CENTRAL]
    assert (image.run, image.count) == (8 * 9 * TINY.row_bytes, (1, 1, 1))
    check(graph, TINY)
