#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Three guests and host processes share one box: identity, data, sums, keys, events, death."""
import hashlib
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "common"))
from fleet import TOOLS, Fleet, ToolFailed  # noqa: E402
import tap  # noqa: E402

ADDITIONS = 10000
# Largest sum: 4 x 10,000 additions of 3 = 120,000, exact in f32 (2^24), i32 and i64.
VALUE = 3
SIZES = [(1, 0), (3, 1), (4095, 1), (4096, 0), (4097, 4095), ((1 << 20) + 7, 13), ((64 << 20) + 5, 3), (96 << 20, 1)]
XADDS = 2000000


def finish(jobs, timeout=300):
    """The values that guests' jobs printed; each must have ended well."""
    results = []
    for job in jobs:
        status, output = job.wait(timeout)
        assert status == 0, f"{job.guest.name}: {job.command}: {status}\n{output}"
        results.append(dict(line.split("=", 1) for line in output.splitlines() if "=" in line))
    return results


def one_name_one_entry(fleet):
    """find-or-create of one name by three guests and a host process at once gives one entry, equal addresses"""
    for round_ in range(5):
        jobs = [guest.box_spawn(f"get same{round_} f32 1000") for guest in fleet.guests]
        child = fleet.host_spawn(f"get same{round_} f32 1000")
        results = finish(jobs)
        output = child.communicate(timeout=60)[0]
        assert child.returncode == 0, output
        results.append(dict(line.split("=", 1) for line in output.splitlines()))
        assert len({r["address"] for r in results}) == 1, results
        assert sum(int(r["created"]) for r in results) == 1, results


def data_written_in_one_read_in_others(fleet):
    """data from 1 byte to 96 MiB, unaligned and across pages, written in one guest hashes equal in another and on the host"""
    one, two, _ = fleet.guests
    one.box(f"get data i8 {(96 << 20) + 64}")
    for seed, (size, shift) in enumerate(SIZES):
        first = shift % 64
        wanted = hashlib.sha256(subprocess.run([TOOLS / "mbtool", "pattern", str(size), str(seed)], check=True,
                                               capture_output=True, timeout=60).stdout).hexdigest()
        one.box(f"write data {first} {size} {seed} {shift}", 240)
        status, output = two.run(f"MEMBOX=/dev/membox0 mbtool read data {first} {size} {shift ^ 1} | sha256sum", 240)
        assert status == 0 and output.split()[0] == wanted, f"guest, {size} bytes: {output}"
        host = fleet.host_spawn(f"read data {first} {size} 0")
        raw = host.stdout.buffer.read()
        host.wait(60)
        assert hashlib.sha256(raw).hexdigest() == wanted, f"host, {size} bytes"
    one.box("destroy data")


def exact_sums(fleet):
    """3 guests x 10,000 additions while a host process adds 10,000 too: the exact sum in i32, i64 and f32"""
    for kind in ("i32", "i64", "f32"):
        fleet.host(f"get sum-{kind} {kind} 16")
        jobs = [guest.box_spawn(f"add sum-{kind} {ADDITIONS} {VALUE}") for guest in fleet.guests]
        fleet.host(f"add sum-{kind} {ADDITIONS} {VALUE}")
        finish(jobs)
        total = fleet.host(f"sum sum-{kind}")
        wanted = str(4 * ADDITIONS * VALUE)
        assert total["least"] == total["most"] == wanted, f"{kind}: {total}, wanted {wanted}"


def keys(fleet):
    """a keyed parameter opens with its key only, from another guest and from the host"""
    one, two, _ = fleet.guests
    key = one.box("create secret f32 10")["key"]
    for run in (two.box, fleet.host):
        for wrong in ("secret", f"secret@{'0' * len(key)}" if key.isalnum() else "secret"):
            try:
                run(f"attach {wrong}")
            except ToolFailed as refusal:
                assert refusal.values.get("status") == "KEY_REFUSED", refusal
            else:
                raise AssertionError(f"{wrong} was opened")
        run(f"attach secret@{key}")


def grants(fleet):
    """a grant delivers the key to the rank that it names, in another guest"""
    one, two, _ = fleet.guests
    giver = one.box_spawn("grant team 2 0 gift i64 4 1")
    taker = two.box_spawn("granted team 2 1")
    got, took = finish([giver, taker])
    assert got["answered"] == "1" and took["name"] == "gift", (got, took)


def accumulation_moves_no_host_byte(fleet):
    """ACC from one common area to another leaves every host byte counter where it was"""
    one = fleet.guests[0]
    one.box("get big-a f32 1000000")
    one.box("get big-b f32 1000000")
    one.box("add big-a 1 7")
    before = one.box("counters")
    one.box("accparam big-b big-a")
    after = one.box("counters")
    assert (before["to_device"], before["from_device"]) == (after["to_device"], after["from_device"]), (before, after)
    assert int(after["operations"]) == int(before["operations"]) + 1, (before, after)
    total = fleet.host("sum big-b")
    assert total["least"] == total["most"] == "7", total


def events(fleet):
    """a subscriber sees the last version, and events and missed ones add up exactly"""
    one, two, three = fleet.guests
    one.box("get topic i32 1")
    watchers = [guest.box_spawn("watch topic 700") for guest in (two, three)]
    for watcher in watchers:
        assert watcher.wait_for("watching="), watcher.output
    one.box("notify topic 400 0")
    fleet.host("notify topic 300 100")
    for seen in finish(watchers):
        assert int(seen["events"]) + int(seen["missed"]) == 700 and seen["last"] == "700", seen


def waits(fleet):
    """a guest parked on a version is woken by the host; one that nobody wakes times out"""
    one = fleet.guests[0]
    one.box("get bell i32 1")
    waiter = one.box_spawn("waitversion bell 0 60000")
    fleet.host("notify bell 1 0")
    assert int(finish([waiter])[0]["version"]) >= 1
    try:
        one.box("waitversion bell 1000 300")
    except ToolFailed as refusal:
        assert refusal.values.get("status") == "TIMED_OUT", refusal
    else:
        raise AssertionError("the wait ended")


def atomics(fleet):
    """FETCH_ADD from three guests and the host counts every one"""
    fleet.host("get ticket i64 2")
    jobs = [guest.box_spawn("fetchadd ticket 1 2000") for guest in fleet.guests]
    fleet.host("fetchadd ticket 1 2000")
    finish(jobs)
    assert fleet.host("fetchadd ticket 1 1")["old"] == "8000"


def locked_xadd(fleet):
    """two guests' lock xadd through read-write windows keeps every increment (maxcpus=2)"""
    fleet.host("get cell i64 512 8")  # 8: mappable
    jobs = [guest.box_spawn(f"xadd cell 3 {XADDS}") for guest in fleet.guests[:2]]
    for job in jobs:
        assert job.wait_for("ready="), job.output
    fleet.host("fetchadd cell 0 1")
    finish(jobs)
    assert fleet.host("fetchadd cell 3 1")["old"] == str(2 * XADDS)


def windows_share(fleet):
    """a store through one guest's window is read through another's and by the host"""
    one, two, _ = fleet.guests
    fleet.host("get shared i8 8192 8")
    one.box("store shared 5000 77")
    assert two.box("load shared 5000")["byte"] == "77"
    assert fleet.host("load shared 5000")["byte"] == "77"


def killed_holder(fleet):
    """a guest killed with a parameter's lock held, in the middle of writing, stops nobody"""
    one, two, three = fleet.guests
    one.box("get held f32 4000000")
    holder = three.box_spawn("lock held 1000 3600000")
    assert holder.wait_for("locked=1"), holder.output
    writer = three.box_spawn("forever held 16000000")
    assert writer.wait_for("writing=1"), writer.output
    three.kill()
    two.box("lock held 30000 0")
    two.box("add held 1 1")
    fleet.host("lock held 30000 0")


def rejoin(fleet):
    """a new guest takes the dead one's place and finds everything"""
    newcomer = fleet.add()
    assert newcomer.box("sum sum-i64")["least"] == str(4 * ADDITIONS * VALUE)
    newcomer.box("add sum-i64 100 1")
    assert fleet.host("sum sum-i64")["least"] == str(4 * ADDITIONS * VALUE + 100)


CASES = [one_name_one_entry, data_written_in_one_read_in_others, exact_sums, keys, grants,
         accumulation_moves_no_host_byte, events, waits, atomics, locked_xadd, windows_share, killed_holder, rejoin]


def main():
    t = tap.Tap(len(CASES) + 2)
    with Fleet("sharing", guests=3, size="384M") as fleet:
        for case in CASES:
            with t.case(case.__doc__):
                case(fleet)
        t.equal(fleet.fsck(), "", "the checker finds nothing afterwards")
        t.equal(fleet.logs(), [], "no complaint in any kernel log")
    t.exit()


if __name__ == "__main__":
    main()
