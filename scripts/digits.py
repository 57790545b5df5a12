"""The digit images of scikit-learn, split into training and test set."""

from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

__all__ = ["digits"]


def digits() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training images, training labels, test images, test labels.

    Images are float32 (N, 1, 8, 8) from 0 to 1; 1437 are for training and 360 for testing, with the
    same share of each digit in both.
    """
    data: Any = load_digits()
    images = (data.images / 16).astype(np.float32)[:, None]
    parts: Any = train_test_split(
        images, data.target, test_size=360, random_state=0, stratify=data.target
    )
    train, test, train_labels, test_labels = parts
    return train, train_labels, test, test_labels
