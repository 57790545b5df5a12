"""Programs for DaDianNao machines, run by the interpreter, against golden: every output bit."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .networks import check, machines, networks

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
