#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Each sentence of docs/guarantees.md names tests, and these are there."""
import pathlib
import re

import tap

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
TEXT = (CHECKOUT / "docs/guarantees.md").read_text()
SENTENCE = re.compile(r"^- ((?:.|\n  (?!- ))+)((?:\n  - .*)*)", re.M)
NAME = re.compile(r"^  - ([\w-]+): ([\w-]+)(?: \[[\w.]+\])?: (.*)$", re.M)


def sources(tier, program):
    """The text of a test program, and of what it is made with."""
    folder = CHECKOUT / "tests" / tier
    names = [path for path in folder.glob(f"{program}*") if path.suffix in (".c", ".py")]
    if program == "models":
        names += (CHECKOUT / "models").glob("*.pml")
    return "\n".join(f"{path.stem}\n{path.read_text()}" for path in [*names, *(CHECKOUT / "tests/common").glob("*.py")])


def is_there(tier, program, test):
    """A C test's name is a function of its table, another's is among the program's strings: as a whole, or what
    varies is put in."""
    text = re.sub(r'"\s*\n\s*f?"', "", sources(tier, program))
    if re.fullmatch(r"\w+", test):
        return re.search(rf"\b{test}\b", text) is not None
    parts = [part for part in re.split(r"\w+ queues: |: |, |seed \d+", test) if part]
    return all(part in text for part in parts)


def main():
    out = tap.Tap()
    sentences = SENTENCE.findall(TEXT)
    out.check(len(sentences) > 20, "there are sentences")
    for sentence, tests in sentences:
        short = " ".join(sentence.split())[:90]
        named = NAME.findall(tests)
        missing = [": ".join(name) for name in named if not is_there(*name)]
        out.check(named and not missing, f"tests hold it: {short}", "\n".join(missing) or "no test is named")
    out.exit()


if __name__ == "__main__":
    main()
