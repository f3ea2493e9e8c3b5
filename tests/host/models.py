#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The protocols' models (models/*.pml), all their states by spin: each holds, and each of its broken variants does not."""
import pathlib
import re
import subprocess
import tempfile

import tap

MODELS = pathlib.Path(__file__).resolve().parents[2] / "models"
DEPTH, MEMORY_MIB, SECONDS = 100_000, 1024, 300


def search(model, variant, folder):
    """How many errors spin finds in all states of a model, and its words."""
    subprocess.run(["spin", "-a", *([f"-D{variant}"] if variant else []), model], cwd=folder, check=True, timeout=SECONDS,
                   stdout=subprocess.DEVNULL)
    subprocess.run(["gcc", "-O2", "-w", "-DSAFETY", f"-DMEMLIM={MEMORY_MIB}", "-o", "pan", "pan.c"], cwd=folder, check=True,
                   timeout=SECONDS)
    words = subprocess.run(["./pan", f"-m{DEPTH}"], cwd=folder, capture_output=True, text=True, timeout=SECONDS).stdout
    assert "max search depth too small" not in words and "out of memory" not in words, words
    return int(re.search(r"errors: (\d+)", words)[1]), words


def main():
    out = tap.Tap()
    for model in sorted(MODELS.glob("*.pml")):
        variants = re.findall(r"-D(\w+)", model.read_text())
        out.check(variants, f"{model.stem}: it can be broken")
        for variant in ["", *variants]:
            with tempfile.TemporaryDirectory() as folder:
                errors, words = search(model, variant, folder)
            if variant:
                out.check(errors > 0, f"{model.stem}: {variant} is noticed", words)
            else:
                out.check(errors == 0, f"{model.stem}: its properties hold in every state", words)
    out.exit()


if __name__ == "__main__":
    main()
