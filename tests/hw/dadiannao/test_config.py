"""Configurations of machines that cannot be, each refused with its own field's name."""

from dataclasses import fields

import pytest

from hw.dadiannao.config import CONFIGS
from hw.diannao.config import ConfigError

TINY = CONFIGS["dadiannao-tiny"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sb_rows": 4}, "sb_rows must be 8 to 4096 and a multiple of the 4 banks, not 4"),
        ({"sb_rows": 510}, "sb_rows must be 8 to 4096 and a multiple of the 4 banks, not 510"),
        (
            {"central_rows": 64, "central_banks": 64},
            "central_rows must be 128 to 8388608 and a multiple of the 64 banks, not 64",
        ),
        ({"width": 32}, "width must be 8 or 16, not 32"),
        ({"bus_port": 48}, "bus_port must be a power of two from 32 to 1024, not 48"),
        ({"bus_port": 1024, "nbin_rows": 8}, "bus_port must be at most a quarter of NBin's 512"),
        ({"link_bandwidth": 15}, "link_bandwidth must be 16 to 1048576, not 15"),
        ({"arity": 3}, "arity must be a power of two from 2 to 64, not 3"),
        ({"trunk": 24}, "trunk must be a divisor of a row's 64 bits, at least 8, not 24"),
        ({"tn": 8}, r"ti must be equal to tn \(8\), not 4"),
        ({"drop": 4, "aggregate": True}, "aggregate must be false, as drop is not 0, not True"),
        ({"training": True}, "training must be false without aggregate, not True"),
        ({"queue": True}, "queue must be of type int, not True"),
        ({"queue": 0}, "queue must be 1 to 64, not 0"),
    ],
)
def test_refuses(changes, message):
    with pytest.raises(ConfigError, match=f"^{message}"):
        TINY.replace(**changes)


@pytest.mark.parametrize("name", [field.name for field in fields(TINY) if field.type is int])
def test_names_the_field(name):
    """Whatever number is wrong, the message begins with a field that the user has set."""
    names = [field.name for field in fields(TINY)]
    for value in (-1, 1 << 40):
        with pytest.raises(ConfigError, match=rf"^({'|'.join(names)}) must be .*, not "):
            TINY.replace(**{name: value})
