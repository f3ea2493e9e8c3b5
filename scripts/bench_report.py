# SPDX-License-Identifier: MIT
"""What `make bench` leaves behind: a table on the screen, bench.json, and pictures by gnuplot."""
import json
import os
import subprocess
import sys

import vm

GNUPLOT_S = 60
BYTES_OF_UNIT = ((1 << 20, "MiB"), (1 << 10, "KiB"))
HEADER = (f"{'':34} {'size':>10} {'ours':>11} {'p99':>11} {'peer':>11} {'p99':>11} {'unit':>6} {'GB/s':>7} "
          f"{'ratio':>8} {'goal':>6} {'#wrong':>6}  against")
STYLE = """set terminal svg size 1000,760 font "sans-serif,13" background "white"
set output "{output}"
set key below maxcols 3
set grid
set title "{title}"
"""


def size_text(size):
    if size is None:
        return ""
    for unit, name in BYTES_OF_UNIT:
        if size >= unit and size % unit == 0:
            return f"{size // unit} {name}"
    return f"{size} B"


def number(value):
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 1000 else f"{value:.1f}" if value >= 100 else f"{value:.3g}"


class Report:
    """Shows rows as they come."""

    def __init__(self):
        self.regime = None

    def show(self, row):
        if row.regime != self.regime:
            self.regime = row.regime
            print(f"\n# regime {row.regime}\n{HEADER}")
        rate = row.size / row.ours / 1000 if row.size and row.unit == "us" and row.ours else None
        mark = "" if row.goal is None or row.ratio is None else \
            " recorded" if row.peer_recorded else "" if row.ratio >= row.goal else " below the goal"
        mode = f" [{row.mode}]" if row.mode else ""
        print(f"{row.name + mode:34.34} {size_text(row.size):>10} {number(row.ours):>11} {number(row.p99[0]):>11} "
              f"{number(row.peer):>11} {number(row.p99[1]):>11} {row.unit:>6} {number(rate):>7} "
              f"{number(row.ratio):>8} {number(row.goal):>6} {row.wrong:>6}  {row.against}{mark}", flush=True)

    def show_missing(self, missing):
        print(f"{missing.name:34.34} {size_text(missing.size):>10}   not measured ({missing.regime}): {missing.reason}",
              flush=True)


def write_json(rows, machine):
    """build/bench.json is the rows; bench-detail.json has the 99th percentiles and the machine, too."""
    path = vm.BUILD / "bench.json"
    path.write_text(json.dumps([row.object() for row in rows.rows], indent=1) + "\n")
    detail = {"machine": machine, "rows": [row.detail() for row in rows.rows],
              "not_measured": [vars(missing) for missing in rows.missing]}
    (vm.BUILD / "bench-detail.json").write_text(json.dumps(detail, indent=1) + "\n")
    return path


def plot(name, title, settings, curves):
    """curves: {label: [(x, y)]}; draws build/<name>.svg, nothing when there is nothing to draw."""
    curves = {label: sorted(points) for label, points in curves.items() if points}
    if not curves:
        return None
    output = vm.BUILD / f"{name}.svg"
    script = [STYLE.format(output=output, title=title), settings]
    for number_of, points in enumerate(curves.values()):
        script.append(f"$d{number_of} << end\n" + "".join(f"{x} {y}\n" for x, y in points) + "end")
    script.append("plot " + ", ".join(f'$d{number_of} using 1:2 with linespoints lw 2 title "{label}"'
                                      for number_of, label in enumerate(curves)))
    done = subprocess.run(["gnuplot"], input="\n".join(script), text=True, capture_output=True, timeout=GNUPLOT_S)
    if done.returncode:
        print(f"gnuplot: {done.stderr}", file=sys.stderr)
        return None
    return output


def by_size(rows, regime, value):
    """Curves of everything that was measured at three sizes or more."""
    curves = {}
    for row in rows.rows:
        if row.regime != regime or row.unit != "us" or not row.size:
            continue
        curves.setdefault(row.name, []).append((row.size, value(row.size, row.ours)))
        if row.peer and not row.peer_recorded:
            curves.setdefault(f"{row.name}: the peer", []).append((row.size, value(row.size, row.peer)))
    return {label: points for label, points in curves.items() if len(points) > 2}


def pictures(rows):
    """The names of the pictures that were drawn."""
    x = 'set logscale x 2\nset xlabel "bytes"\nset format x "%.0b%B"\n'
    drawn = []
    for regime in sorted({row.regime for row in rows.rows}):
        drawn.append(plot(f"bench-bandwidth-{regime}", f"Bandwidth over size ({regime})",
                          x + 'set ylabel "GB/s"\n',
                          by_size(rows, regime, lambda size, us: size / us / 1000)))
        drawn.append(plot(f"bench-latency-{regime}", f"Time over size ({regime})",
                          x + 'set logscale y\nset ylabel "microseconds"\n',
                          by_size(rows, regime, lambda size, us: us)))
    for name, title, settings, curves in rows.pictures:
        drawn.append(plot(name, title, settings, curves))
    return [os.path.relpath(path) for path in drawn if path]
