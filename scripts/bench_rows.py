# SPDX-License-Identifier: MIT
"""Rows of `make bench`: ours and the peer in turn, round by round, and what comes of it."""
import statistics

from bench_players import Unmeasured

KEYS = ("name", "size", "ours", "peer", "unit", "ratio", "goal", "regime", "mode", "peer_recorded", "wrong")


class Pace:
    """How long a run takes: rounds of a row, nanoseconds of one order."""

    def __init__(self, quick):
        self.quick = quick
        self.rounds = 5 if quick else 9
        self.order_ns = 12e6 if quick else 60e6


class Row:
    """One line of the table and one object of bench.json; ratio is over 1 where membox is better."""

    def __init__(self, name, size, ours, peer, goal, regime, unit="us", mode=None, recorded=False, wrong=0,
                 p99=(None, None), against=""):
        self.name, self.size, self.ours, self.peer, self.goal = name, size, ours, peer, goal
        self.regime, self.unit, self.mode, self.peer_recorded = regime, unit, mode, recorded
        self.wrong, self.p99, self.against = int(wrong), p99, against
        better_is_less = unit in ("us", "ns", "ms")
        self.ratio = None if not peer or not ours else peer / ours if better_is_less else ours / peer

    def object(self):
        return {key: round(value, 4) if isinstance(value, float) else value
                for key, value in ((key, getattr(self, key)) for key in KEYS)}

    def detail(self):
        return {**self.object(), "against": self.against, "ours_p99": self.p99[0], "peer_p99": self.p99[1]}


class Missing:
    """A row that could not be measured, and why."""

    def __init__(self, name, size, regime, reason):
        self.name, self.size, self.regime, self.reason = name, size, regime, str(reason)


class Side:
    """One of the two (or more) that are measured in turn."""

    def __init__(self, team, op, size, label=""):
        self.team, self.op, self.size, self.label = team, op, size, label
        self.medians, self.p99, self.wrong = [], [], 0

    def play(self, budget_ns):
        result = self.team.measure(self.op, self.size, budget_ns)
        self.medians.append(result["p50"])
        self.p99.append(result["p99"])
        self.wrong += int(result["wrong"])

    @property
    def median_us(self):
        return statistics.median(self.medians) / 1000

    @property
    def p99_us(self):
        return statistics.median(self.p99) / 1000


def duel(pace, ours, *peers):
    """Plays all sides in turn; returns the peer that was best, None without any."""
    sides = [ours, *peers]
    for side in sides:
        # Once outside the count: memory is touched, processors are awake.
        side.play(pace.order_ns / 4)
        side.medians.clear()
        side.p99.clear()
    for number in range(pace.rounds):
        # Each side is first as often as last.
        for side in sides if number % 2 == 0 else reversed(sides):
            side.play(pace.order_ns)
    return min(peers, key=lambda side: side.median_us, default=None)


def row(pace, name, size, goal, regime, ours, *peers, mode=None):
    """Measures a row."""
    best = duel(pace, ours, *peers)
    wrong = ours.wrong + sum(side.wrong for side in peers)
    return Row(name, size, ours.median_us, best and best.median_us, goal, regime, mode=mode, wrong=wrong,
               p99=(ours.p99_us, best and best.p99_us), against=best.label if best else "")


def recorded(pace, name, size, goal, regime, ours, peer_us, label):
    """A row against a figure that was measured elsewhere: it passes nothing."""
    duel(pace, ours)
    return Row(name, size, ours.median_us, peer_us, goal, regime, recorded=True, wrong=ours.wrong,
               p99=(ours.p99_us, None), against=label)


class Rows:
    """Collects rows, shows each when it is there, and goes on where one cannot be measured."""

    def __init__(self, report, only=None):
        self.report, self.only = report, only
        self.rows, self.missing, self.pictures = [], [], []

    def wanted(self, name):
        return not self.only or self.only in name

    def cannot(self, name, size, regime, reason):
        missing = Missing(name, size, regime, reason)
        self.missing.append(missing)
        self.report.show_missing(missing)

    def add(self, name, size, regime, measure):
        """measure() returns a Row (or several), or raises Unmeasured."""
        if not self.wanted(name):
            return
        try:
            got = measure()
        except Unmeasured as reason:
            self.cannot(name, size, regime, reason)
            return
        for one in got if isinstance(got, list) else [got]:
            self.rows.append(one)
            self.report.show(one)
