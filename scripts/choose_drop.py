"""Accuracy of the digit CNN against the multiplier's dropped columns, in the golden model.

python scripts/choose_drop.py
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from pathlib import Path

import numpy as np
import onnxruntime
from digits import digits

import diannao

MODEL = Path(__file__).parent.parent / "models" / "digits.onnx"


def main() -> None:
    train, _, test, labels = digits()
    (floats,) = onnxruntime.InferenceSession(MODEL).run(None, {"image": test})
    floats = np.asarray(floats)
    print("| drop | array formed | accuracy | mean error of a score | same digit as float |")
    print("|---|---|---|---|---|")
    columns = 16 * 16
    for drop in range(17):
        config = diannao.CONFIGS["diannao-16x16"].replace(drop=drop)
        formed = columns - drop * (drop + 1) // 2
        with diannao.Session(
            MODEL, config, "golden", calibration={"image": train}, batch=len(test)
        ) as session:
            (scores,) = session.run(None, {"image": test})
        same = (scores.argmax(1) == floats.argmax(1)).mean()
        print(
            f"| {drop} | {100 * formed / columns:.0f} % "
            f"| {100 * (scores.argmax(1) == labels).mean():.2f} % "
            f"| {np.abs(scores - floats).mean():.4f} | {100 * same:.1f} % |"
        )


if __name__ == "__main__":
    main()
