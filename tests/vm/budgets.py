#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# kernels: 6.12
"""What an operation costs, counted: within tests/budgets.json, and the same however much else there is.

A plugin of QEMU counts instructions, system calls and memory accesses of the guest between two marks round
each operation; the device counts doorbells, interrupts and bytes. Nothing here is a time.
"""
import json
import os
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "common"))
from fleet import CHECKOUT, TOOLS, Fleet, parse  # noqa: E402
import plugin  # noqa: E402
import step  # noqa: E402
import tap  # noqa: E402

BUDGETS = CHECKOUT / "tests/budgets.json"
COUNTED = ("user", "kernel", "syscalls", "accesses")
TIMES = {"batch": 50, "write 1048576": 50}
USUAL_TIMES = 200
TRIES = 4
FEW, MANY = 10, 100_000
REGIONS, CONTEXTS = 1000, 200
RUN_S = 120
FILL_S = 200
GROWTH_OF = ("write 64", "acc_param 64")
# Counters of the device say how many an operation has on average; the two that a run begins and
# ends with are not the operations'.
ROUNDING = 0.05


class Scales:
    """A guest under the plugin, and what it counted."""

    def __init__(self, guest, counts):
        self.guest, self.counts = guest, counts

    def weigh(self, operation, more=""):
        """{what: how many of it one operation takes}.

        Of the plugin's counts the least of all executions: in others the timer ticked, or the process had to
        sleep because the machine was busy elsewhere. Of the device's counts the average.
        """
        seen = os.path.getsize(self.counts)
        times = next((n for name, n in TIMES.items() if operation.startswith(name)), USUAL_TIMES)
        status, output = self.guest.run(f"ulimit -n 4096; MEMBOX=/dev/membox0 cost {operation} {times} {more}", RUN_S)
        assert status == 0, f"{operation} {more}: {output}\n{self.guest.console_tail()}"
        with open(self.counts) as counts:
            counts.seek(seen)
            rows = [[int(word) for word in line.split()] for line in counts]
        assert len(rows) == times, f"{operation}: {len(rows)} pairs of marks, not {times}"
        values = {name: min(row[i] for row in rows) for i, name in enumerate(COUNTED)}
        values["instructions"] = values["user"] + values["kernel"]
        values.update((name, float(value)) for name, value in parse(output).items())
        return values


def least(one, other):
    """The lower of each count; a busy machine makes executions sleep, and that can be all of a run."""
    return {name: min(value, other[name]) for name, value in one.items()} if one else other


def within(t, scales, operation, budget):
    cost = None
    for _ in range(TRIES):
        cost = least(cost, scales.weigh(operation))
        if all(cost[name] <= most + ROUNDING for name, most in budget.items()):
            break
    t.comment(f"{operation}: " + " ".join(f"{name}={value:g}" for name, value in cost.items()))
    over = [f"{name} {cost[name]:g}, at most {most}" for name, most in budget.items() if cost[name] > most + ROUNDING]
    t.check(not over, f"{operation}: within its budget", "\n".join(over))
    t.check(cost["operations"] >= 1, f"{operation}: the device did it", str(cost))
    return cost


def growth(t, scales, before, most, what, more=""):
    """Weighs operations again where something has become more."""
    for operation in GROWTH_OF:
        was, now, ratio = before[operation], None, 0
        for _ in range(TRIES):
            now = least(now, scales.weigh(operation, more))
            ratio = now["instructions"] / was["instructions"]
            if ratio <= 1 + most:
                break
        t.comment(f"{what}: {operation}: {was['instructions']:g} instructions, then {now['instructions']:g}")
        t.check(ratio <= 1 + most, f"{operation}: no more instructions with {what}", f"{ratio:.4f} times as many")
        t.check(now["syscalls"] <= was["syscalls"], f"{operation}: no more system calls with {what}")


def main():
    t = tap.Tap()
    budgets = json.loads(BUDGETS.read_text())
    try:
        shared_object = plugin.build()
    except step.Unavailable as reason:
        t.skip("costs of operations", str(reason))
        t.exit()
    with tempfile.TemporaryDirectory() as folder:
        counts = pathlib.Path(folder) / "counts"
        with Fleet("budgets", size="512M", params=MANY + 1000, files={"/usr/bin/cost": TOOLS / "cost"},
                   devices=["-plugin", f"{shared_object},out={counts}"]) as fleet:
            scales = Scales(fleet.guests[0], counts)
            fleet.host_cost(f"fill {FEW}")
            costs = {name: within(t, scales, name, budget) for name, budget in budgets["operations"].items()}
            most = budgets["growth"]
            growth(t, scales, costs, most, f"{REGIONS} regions", f"regions {REGIONS}")
            growth(t, scales, costs, most, f"{CONTEXTS} contexts open", f"contexts {CONTEXTS}")
            fleet.host_cost(f"fill {MANY}", FILL_S)
            growth(t, scales, costs, most, f"{MANY} parameters")
            t.equal(fleet.logs(), [], "no complaint in the kernel log")
    t.exit()


if __name__ == "__main__":
    main()
