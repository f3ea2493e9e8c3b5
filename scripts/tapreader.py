# SPDX-License-Identifier: MIT
"""Reads TAP and KTAP: one line in, one result out.

Nested results (indented, as KUnit prints them) count themselves; the line of their parent, which
only sums them up, counts when it failed though none of its children did.
"""
import dataclasses
import re

RESULT = re.compile(r"^(\s*)(not ok|ok)\b\s*(\d*)\s*(?:- )?\s*(.*?)\s*(?:#\s*SKIP\b\s*(.*))?$", re.I)
PLAN = re.compile(r"^(\s*)1\.\.(\d+)\s*(?:#\s*SKIP\s*(.*))?$", re.I)
KERNEL_TIME = re.compile(r"^\[\s*\d+\.\d+\]\s?")


@dataclasses.dataclass
class Result:
    name: str
    passed: bool
    skipped: bool = False
    reason: str = ""


class Reader:
    """Keeps what a stream of lines promised (plans) and what it delivered."""

    def __init__(self):
        self.planned = 0
        self.seen = 0
        self.nested = {}  # depth of indentation: failures there, since the last result further out

    def feed(self, line):
        """The Result that a line stands for, or None."""
        line = KERNEL_TIME.sub("", line.rstrip("\n"))
        plan = PLAN.match(line)
        if plan:
            if not plan[1]:
                self.planned += int(plan[2])
            if plan[2] == "0" and plan[3] is not None:
                return Result("all", True, True, plan[3])
            return None
        match = RESULT.match(line)
        if not match:
            return None
        indent, verdict, _, name, skip = match.groups()
        # cmocka writes "not ok 3 # SKIP name" for a test that skipped itself.
        skipped = skip is not None
        passed = verdict.lower() == "ok" or skipped
        depth = len(indent.expandtabs())
        inner = [d for d in self.nested if d > depth]
        failed = sum(self.nested.pop(d) for d in inner)
        if depth:
            self.nested[depth] = self.nested.get(depth, 0) + (not passed)
        else:
            self.seen += 1
        if inner and (passed or failed):
            return None
        return Result(name or skip or "(no name)", passed, skipped, skip or "no reason given")

    def missing(self):
        """Sentences about results that were promised and did not come."""
        if self.planned > self.seen:
            return [f"{self.planned - self.seen} of {self.planned} promised results are missing"]
        return []
