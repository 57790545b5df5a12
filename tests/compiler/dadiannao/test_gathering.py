"""The order in which neurons are passed on, and the cutting of regions."""

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.dadiannao.areas import Area
from compiler.dadiannao.gathering import hops, sequence
from compiler.dadiannao.windows import bands

MESHES = list(product(range(1, 9), range(1, 9)))


@pytest.mark.parametrize("mesh", MESHES, ids=str)
def test_everything_comes_to_every_node_once(mesh):
    """Neighbours only, and nobody passes on what has not come to it in whole."""
    rows, columns = mesh
    nodes = range(rows * columns)
    known = [{node} for node in nodes]
    for sender, receiver, origins in hops(rows, columns):
        (y, x), (to_y, to_x) = divmod(sender, columns), divmod(receiver, columns)
        assert abs(y - to_y) + abs(x - to_x) == 1
        assert set(origins) <= known[sender]
        assert not set(origins) & known[receiver]
        known[receiver] |= set(origins)
    assert known == [set(nodes)] * len(nodes)
    for node in nodes:
        found = [origin for origins in sequence(rows, columns, node) for origin in origins]
        assert found[0] == node
        assert sorted(found) == list(nodes)


runs = st.tuples(st.integers(0, 9), st.integers(1, 9)).map(lambda p: range(p[0], sum(p)))


@given(st.builds(Area, runs, runs), st.builds(Area, runs, runs), st.integers(1, 5))
@settings(derandomize=True, database=None)
def test_bands_are_all_of_an_area(area, near, most):
    found = bands(area, near, most)
    pixels = [pixel for band in found for pixel in product(*band.area)]
    assert sorted(pixels) == list(product(*area))
    assert all(len(band.area.rows) <= most for band in found)
    inside = set(product(*near))
    assert all(set(product(*band.area)) <= inside for band in found if band.near)
    assert [band.near for band in found] == sorted((b.near for b in found), reverse=True)
