"""Run SCALE-Sim on a layer, in SCALE-Sim's own environment.

``python run_scalesim.py LAYER.json FOLDER`` keeps its files in FOLDER and prints cycles and use as
JSON. The array is 16 by 16 and output stationary, which is the best of its three ways for both
layers. The cycles are those of the array, as if its memory were always fast enough.
"""

import contextlib
import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

from scalesim.scale_sim import scalesim  # pyright: ignore[reportMissingImports]

CONFIG = """\
[general]
run_name = run

[architecture_presets]
ArrayHeight = 16
ArrayWidth = 16
IfmapSramSzkB = 64
FilterSramSzkB = 64
OfmapSramSzkB = 64
IfmapOffset = 0
FilterOffset = 10000000
OfmapOffset = 20000000
Dataflow = os
ReadRequestBuffer = 64
WriteRequestBuffer = 64

[layout]
IfmapCustomLayout = False
FilterCustomLayout = False
IfmapSRAMBankBandwidth = 16
IfmapSRAMBankNum = 1
IfmapSRAMBankPort = 2
FilterSRAMBankBandwidth = 16
FilterSRAMBankNum = 1
FilterSRAMBankPort = 2

[sparsity]
SparsitySupport = False

[run_presets]
InterfaceBandwidth = CALC
UseRamulatorTrace = False
"""


def main() -> None:
    layer, folder = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    padded, kernel = layer["size"] + 2 * layer["padding"], layer["kernel"]
    shape = (padded, padded, kernel, kernel, layer["inputs"], layer["outputs"], 1)
    files = {
        "config": CONFIG,
        "topology": f"name, shape,\nlayer, {', '.join(map(str, shape))},\n",
        # The layout is not used here, but the program does not start without the file.
        "layout": f"name, layout,\nlayer, {', '.join(['1'] * 20)},\n",
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    start = time.process_time()
    with (folder / "log").open("w") as log, contextlib.redirect_stdout(log):
        run = scalesim(
            save_disk_space=True, verbose=True,
            **{name: str(folder / name) for name in files},
        )  # fmt: skip
        run.run_scale(top_path=str(folder))
    cycles = run.runner.single_layer_sim_object_list[0].get_compute_report_items()[1]
    print(
        json.dumps({
            "version": version("scalesim"),
            "cycles": int(cycles),
            "seconds": time.process_time() - start,
        })
    )  # fmt: skip


if __name__ == "__main__":
    main()
