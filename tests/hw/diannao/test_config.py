"""Configurations refuse what cannot be, naming field, value and rule."""

import pytest

from hw.diannao.config import CONFIGS, Config, ConfigError

PORTS = {
    **dict.fromkeys(("nbin_port", "sb_port", "nbout_port", "cp_port"), 32), "shared_port": True
}  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tn": 0}, "tn must be 1 to 256, not 0"),
        ({"ti": -1}, "ti must be 1 to 256, not -1"),
        ({"tn": 2.0}, "tn must be of type int, not 2.0"),
        ({"width": 12}, "width must be 8 or 16, not 12"),
        ({"drop": 17, "multiplier": "array"}, r"drop must be 0 to width \(16\), not 17"),
        ({"drop": 4}, 'drop must be 0 with multiplier = "dsp", not 4'),
        ({"multiplier": "booth"}, 'multiplier must be "dsp" or "array", not \'booth\''),
        ({"nbin_rows": 2}, "nbin_rows must be 4 to 4096, not 2"),
        ({"nbin_rows": 4096}, "nbin_rows must be small enough for 15-bit element offsets"),
        ({"nbin_port": 48}, "nbin_port must be a power of two from 32 to 4096, not 48"),
        ({"nbin_rows": 8, "nbin_port": 1024}, "nbin_port must be at most a quarter of NBin"),
        ({"cp_port": 2048}, "cp_port must be at most 1024, not 2048"),
        ({"shared_port": True}, "shared_port must be False unless all port widths are equal"),
        ({"burst": 257}, "burst must be 1 to 256, not 257"),
        ({"instruction_buffer": 1000}, "instruction_buffer must be a power of two"),
        ({"operand_stages": 6}, "operand_stages must be 2 to 5, not 6"),
        (
            {"tn": 1, "nbout_rows": 15},
            "nbout_rows must be at least 16 to fill nbout_port's beat, not 15",
        ),
        ({"nfu2_stages": 0}, "nfu2_stages must be 1 to 16, not 0"),
        ({"nfu3_lanes": 5}, r"nfu3_lanes must be 0 or a divisor of tn \(16\), not 5"),
        ({"engine": True}, "engine must be False without shared_port, not True"),
        (
            {**PORTS, "engine": True, "address_width": 16},
            "address_width must be 17 to 32 with engine and neurons of 16 bits, not 16",
        ),
        ({"nfu3_multiplier": "lut"}, 'nfu3_multiplier must be empty, "dsp", "array" or "adders"'),
    ],
)
def test_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        Config(**fields)


def test_unknown_key():
    with pytest.raises(ConfigError, match=r"unknown configuration key 'tm'; known: .*tn"):
        Config().replace(tm=4)


def test_accumulator_holds_the_longest_reduction():
    """The worst sum and the worst bias fit, and one bit less would not do."""
    for config in CONFIGS.values():
        worst = config.max_reduction * 2 ** (2 * config.width - 2) + 2 ** (2 * config.width - 1)
        assert worst < 2 ** (config.acc_width - 1)
        assert worst >= 2 ** (config.acc_width - 2)


def test_named_configurations_carry_their_names():
    assert all(name == config.name for name, config in CONFIGS.items())
    assert len(set(CONFIGS.values())) == len(CONFIGS)
