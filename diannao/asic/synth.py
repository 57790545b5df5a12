"""``diannao synth``: one part of a core, or the whole, in a standard-cell library."""

import json
import math
import os
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hw.diannao.config import Config
from hw.errors import UserError
from sim.execution import Progress

from ..configs import load_core
from ..energy import measured_costs
from ..files import make_folder, write_all
from .activity import Activity
from .flow import MacroModel, map_component
from .liberty import Library
from .sta import MISSING
from .tops import BLOCKS, check_top, make_top
from .yosys import Yosys

__all__ = ["synthesise"]


def synthesise(
    liberty: str | os.PathLike,
    *,
    top: str = "nfu",
    config: str | os.PathLike | Config | None = None,
    settings: list[str] | tuple[str, ...] = (),
    period: float | None = None,
    macro_area: float | None = None,
    macro_delay: float = 0.0,
    dont_use: list[str] | tuple[str, ...] = (),
    activity: str | os.PathLike | None = None,
    scope: str | None = None,
    folder: str | os.PathLike | None = None,
    progress: Progress = lambda what, done=0, total=None: None,
) -> dict[str, Any]:
    """Map a part of a core to standard cells: area by block, critical path, power.

    Parameters
    ----------
    liberty : the library, a liberty file (plain or gzip)
    top : which part, see TOPS
    config, settings : of the core, see ``load_config``
    period : clock period in ns; None for the shortest that there is
    macro_area : um2 per bit of memory macros; None leaves them out of the area
    macro_delay : ns from the clock to the outputs of memory macros
    dont_use : patterns of library cells to leave alone
    activity : a VCD file of a simulation that contains the part; None assumes a rate for all
    scope : where in the VCD file the part is; None for an instance that is called like it
    folder : where synth.json and netlist.v go, and energy.toml if a table of energy costs follows
        (see ``measured_costs``). It is made if it is not there; None writes nothing.
    progress : callback

    Returns
    -------
    dict
        What is in synth.json.

    Raises
    ------
    UserError
        If something is missing, unreadable or out of range. Nothing is half-written.
    """
    for name, value in (("--period", period), ("--macro-area", macro_area)):
        if value is not None and not (0 < value < math.inf):
            raise UserError(f"{name} must be positive, not {value}")
    if not 0 <= macro_delay < math.inf:
        raise UserError(f"--macro-delay must be 0 or more, not {macro_delay}")
    check_top(top)
    core = load_core("synth", config, settings)
    yosys = Yosys()
    progress("reading the library")
    library = Library(Path(liberty))
    toggles = None
    if activity is not None:
        progress("reading waveforms")
        toggles = Activity(Path(activity), top if scope is None else scope)
    if folder is not None:
        make_folder(Path(folder))
    model = MacroModel(macro_area, macro_delay)
    mapped = map_component(
        make_top(top, core), top, library, yosys, period=period, blocks=BLOCKS.get(top),
        macro_model=model, dont_use=dont_use, progress=progress,
        activity=0.1 if toggles is None else toggles,
    )  # fmt: skip
    result = {
        "top": top,
        "config": core.name,
        "library": library.name,
        **mapped.to_json(model),
        "macro_area_um2_per_bit": macro_area,
        "macro_delay_ns": macro_delay,
        "target_period_ns": period,
        "notes": [] if mapped.timing is not None else [MISSING],
        "configuration": asdict(core),
        "diannao": version("diannao"),
    }
    if folder is not None:
        files = {"synth.json": json.dumps(result, indent=2) + "\n", "netlist.v": mapped.netlist}
        costs = measured_costs(result)
        if costs is not None:
            files["energy.toml"] = costs
        write_all(Path(folder), files)
    return result
