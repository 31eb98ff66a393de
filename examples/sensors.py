#!/usr/bin/env python3
"""Writes a set of three sensors as a manifest with CSV files, with NumPy alone, and new samples without labels.

    python3 examples/sensors.py FOLDER

Recordings differ in length, 15 % of them are missing, and the five classes have 80, 10, 5, 3 and 2 % of the samples.
FOLDER/labels.csv lists the samples of the three splits, FOLDER/new.csv those to be answered for; their classes are in
FOLDER/answers.csv. The same every time.
"""

import csv
import pathlib
import sys

import numpy as np

CLASSES = ["rest", "walk", "climb", "run", "fall"]
SHARES = [0.80, 0.10, 0.05, 0.03, 0.02]
SPLITS = {"train": 1000, "validation": 300, "test": 300, "new": 200}
# Columns, shortest and longest recording of each sensor.
SENSORS = {"heart": (1, 40, 60), "breath": (1, 15, 30), "motion": (3, 50, 80)}
MISSING = 0.15


def recording(rng, sensor, label):
    """A recording of a sensor, [moments, columns]: faster, deeper and wilder from class to class."""
    columns, shortest, longest = SENSORS[sensor]
    time = np.arange(rng.integers(shortest, longest + 1))[:, None]
    phase = rng.uniform(0, 2 * np.pi, columns)
    values = (1 + 0.3 * label) * np.sin((0.15 + 0.12 * label) * time + phase)
    if sensor == "motion" and label == len(CLASSES) - 1:
        values[len(values) // 2 :] += 3
    return values + rng.normal(0, 0.5, values.shape)


def had(rng):
    """Which sensors a sample has: at least one."""
    present = rng.random(len(SENSORS)) >= MISSING
    present[rng.integers(len(SENSORS))] |= not present.any()
    return present


def main(folder):
    rng = np.random.default_rng(0)
    (folder / "files").mkdir(parents=True, exist_ok=True)
    lists = {"labels": [["id", "split", "label", *SENSORS]], "new": [["id", *SENSORS]], "answers": [["id", "label"]]}
    for split, count in SPLITS.items():
        # Exact shares, in a random order: rounding would leave a class out now and then.
        labels = rng.permutation(np.repeat(np.arange(len(CLASSES)), [round(count * share) for share in SHARES]))
        for number, label in enumerate(labels):
            name, cells = f"{split}-{number}", []
            for sensor, present in zip(SENSORS, had(rng)):
                # An empty cell says that the sample lacks the sensor.
                cells.append(f"files/{name}-{sensor}.csv" if present else "")
                if present:
                    np.savetxt(folder / cells[-1], recording(rng, sensor, label), fmt="%.4f", delimiter=",")
            if split == "new":
                lists["new"].append([name, *cells])
                lists["answers"].append([name, CLASSES[label]])
            else:
                lists["labels"].append([name, split, CLASSES[label], *cells])
    for name, rows in lists.items():
        with open(folder / f"{name}.csv", "w", newline="") as file:
            csv.writer(file).writerows(rows)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(pathlib.Path(sys.argv[1]))
