"""scripts/compare without the peers: its table, its page, and what it says of missing peers."""

import zipfile

import pytest

from hw.errors import UserError
from scripts import compare
from scripts.compare import Row, markdown, measure_all
from scripts.peers.environment import Environment, PeerError, call
from scripts.results import write_section

OURS = Row("ours", "", "RTL, checked", 256, 600_000, 2.0, 1234, 5.67)
MODEL = Row("theirs", "1.2", "model", 256, 66_000, 0.5)


# The table


def test_table():
    """A column of each kind; 384 * 256 * 9 * 13 * 13 MACs, and 1024 * 1024."""
    text = markdown([("ALEXNET-CONV3", "ours", OURS), ("FC1024", "theirs", MODEL)])
    first, second = text.split("### ")[1:]
    assert first.startswith("ALEXNET-CONV3: 13x13, 256 -> 384, 3x3, padding 1\n")
    assert (
        "| ours | RTL, checked | 256 | 600,000 | 97.3 % | 1,234 lines | 5.7 s | 300 kcycle/s |"
    ) in first
    assert second.startswith("FC1024: 1024 -> 1024\n")
    assert "| theirs 1.2 | model | 256 | 66,000 | 6.2 % | - | - | 132 kcycle/s |" in second


def test_table_says_what_is_missing():
    text = markdown([("FC1024", "ours", OURS), ("FC1024", "theirs", "cannot be set up: a | b")])
    assert "| theirs | cannot be set up: a \\| b | | | | | | |" in text
    columns = {line.count("|") - line.count("\\|") for line in text.splitlines() if "|" in line}
    assert columns == {9}


def test_every_failure_is_told_in_a_line(monkeypatch, capsys):
    """A tool that cannot be set up, and one that fails at one layer; the others go on."""

    def broken():
        raise PeerError("no wheel")

    def sometimes():
        def measure(layer):
            if layer.name == "FC1024":
                raise UserError("too big")
            return MODEL

        return measure

    tools = {"broken": broken, "sometimes": sometimes, "good": lambda: lambda layer: OURS}
    monkeypatch.setattr(compare, "TOOLS", tools)
    results = list(measure_all())
    assert results == [
        ("ALEXNET-CONV3", "broken", "cannot be set up: no wheel"),
        ("FC1024", "broken", "cannot be set up: no wheel"),
        ("ALEXNET-CONV3", "sometimes", MODEL),
        ("FC1024", "sometimes", "cannot run it: too big"),
        ("ALEXNET-CONV3", "good", OURS),
        ("FC1024", "good", OURS),
    ]
    told = capsys.readouterr().err.splitlines()
    assert [line for line in told if "error" in line] == [
        "compare: error: broken cannot be set up: no wheel",
        "compare: error: sometimes cannot run FC1024: too big",
    ]


# The page


def test_sections_leave_each_other_alone(tmp_path):
    page = tmp_path / "results.md"
    write_section("a", "old", page)
    write_section("b", "other", page)
    page.write_text(page.read_text() + "by hand\n")
    write_section("a", "new\n\nlonger", page)
    assert page.read_text() == (
        "# Results\n\n<!-- a -->\nnew\n\nlonger\n<!-- end of a -->\n\n"
        "<!-- b -->\nother\n<!-- end of b -->\nby hand\n"
    )


def test_page_without_end_marker_is_not_touched(tmp_path):
    page = tmp_path / "results.md"
    page.write_text("<!-- a -->\nold\n")
    with pytest.raises(ValueError, match="has '<!-- a -->' but not '<!-- end of a -->'"):
        write_section("a", "new", page)
    assert page.read_text() == "<!-- a -->\nold\n"


# Environments


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "diannao" / "peers"


def wheel(folder) -> str:
    """A package of one module, ``peer``."""
    path = folder / "peer-1.0-py3-none-any.whl"
    files = {
        "peer.py": "FACTOR = 2\n",
        "peer-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: peer\nVersion: 1.0\n",
        "peer-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nTag: py3-none-any\n",
        "peer-1.0.dist-info/RECORD": "",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return str(path)


def test_environment_runs_a_driver(cache, tmp_path):
    """With an interpreter and packages of its own; it is made once."""
    driver = tmp_path / "driver.py"
    driver.write_text(
        "import json, peer, sys\n"
        "layer = json.load(open(sys.argv[1]))\n"
        "print('chatter')\n"
        "print(json.dumps({'twice': peer.FACTOR * layer['inputs'], 'prefix': sys.prefix}))\n"
    )
    package = wheel(tmp_path)
    for _ in range(2):
        result = Environment("--no-index", package).run(str(driver), {"inputs": 21}, tmp_path)
        (folder,) = (path for path in cache.iterdir() if path.is_dir())
        assert result == {"twice": 42, "prefix": str(folder)}
    driver.write_text("raise ValueError('of no use')")
    with pytest.raises(PeerError) as error:
        Environment("--no-index", package).run(str(driver), {}, tmp_path)
    assert str(error.value) == "ValueError: of no use"


def test_package_that_cannot_be_installed(cache):
    with pytest.raises(PeerError) as error:
        Environment("--no-index", "no-such-peer")
    assert str(error.value) == "ERROR: No matching distribution found for no-such-peer"
    assert not [path for path in cache.iterdir() if path.is_dir()]


def test_command_that_cannot_be_started():
    with pytest.raises(PeerError, match="nothing cannot be started: No such file or directory"):
        call("/nowhere/nothing")
