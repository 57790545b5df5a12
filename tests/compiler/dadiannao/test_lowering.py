"""Programs for DaDianNao machines, run by the interpreter, against golden: every output bit."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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
