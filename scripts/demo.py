"""Recognise the digits of scikit-learn's test set on the simulated RTL of the paper's core."""

import os
import time
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import onnxruntime
from digits import digits
from rich.console import Console

import diannao
from diannao.console import layer_table, showing_progress

ROOT = Path(__file__).parent.parent
MODEL = ROOT / "models" / "digits.onnx"
CONFIG = "diannao-16x16"


def main() -> None:
    console = Console(highlight=False)
    train, _, test, labels = digits()

    def accuracy(scores: np.ndarray) -> str:
        return f"{100 * np.mean(scores.argmax(1) == labels):.2f} %"

    folder = ROOT / "build" / CONFIG
    begin = time.monotonic()
    with showing_progress() as progress:
        progress(f"generating the Verilog of {CONFIG}")
        manifest = diannao.generate(CONFIG, folder)
    console.print(
        f"1. Verilog of {CONFIG}: {manifest['lines']} lines in {time.monotonic() - begin:.1f} s "
        f"(build/{CONFIG})"
    )

    (floats,) = onnxruntime.InferenceSession(MODEL).run(None, {"image": test})
    scores = {"float (ONNX Runtime)": np.asarray(floats)}
    with (
        showing_progress() as progress,
        diannao.Session(
            MODEL, CONFIG, "golden", calibration={"image": train}, progress=progress
        ) as session,
    ):
        (scores["golden (numpy integers)"],) = session.run(None, {"image": test})

    begin = time.monotonic()
    with (
        showing_progress() as progress,
        diannao.Session(
            MODEL, CONFIG, "verilator", calibration={"image": train}, progress=progress
        ) as session,
    ):
        session.build()
        built = time.monotonic() - begin
        (scores["RTL (Verilator)"],) = session.run(None, {"image": test})
        report = session.report
        seconds = report["simulation_seconds"]

    console.print(f"2. Verilator model built in {built:.0f} s (kept for the next time)")
    console.print(f"3. {len(test)} images of the test set, recognised correctly:")
    for name, values in scores.items():
        console.print(f"     {name:<24} {accuracy(values)}")
    console.print(
        f"4. {report['cycles'] / len(test):,.0f} cycles per image; "
        f"{report['checked_tensors']} tensors of all layers equal golden, bit for bit"
    )
    console.print(
        f"5. Verilator ran {report['cycles']:,} cycles in {seconds:.1f} s: "
        f"{report['cycles'] / seconds:,.0f} cycles per second of core and memory"
    )
    console.print(layer_table(report))


if __name__ == "__main__":
    main()
