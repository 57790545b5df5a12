"""The supervisor on both simulators."""

from hw.diannao.supervisor import Supervisor


def test_supervisor(bench):
    bench(Supervisor(sources=3), "supervisor", "tests.hw.diannao.bench_supervisor")
