# SPDX-License-Identifier: MIT
"""Prints the Test Anything Protocol for tests that are Python programs.

    import tap
    t = tap.Tap()
    t.check(2 + 2 == 4, "addition", "diagnostics when it fails")
    t.equal(got, wanted, "the sum")
    t.skip("dma-buf", "6.1 has no UDMABUF")
    with t.case("a case that may raise"):
        ...
    t.exit()

or, with one function a case:  tap.main([case_one, case_two], setup_argument...)
"""
import contextlib
import sys
import time
import traceback


class Tap:
    """Numbers and prints results; exit() prints the plan and leaves with the right status."""

    def __init__(self, plan=None):
        self.count = 0
        self.failed = 0
        self.plan = plan
        self.print("TAP version 13")
        if plan is not None:
            self.print(f"1..{plan}")

    @staticmethod
    def print(text):
        print(text, flush=True)

    def comment(self, text):
        """Diagnostics: shown with the log, not counted."""
        for line in str(text).splitlines():
            self.print(f"# {line}")

    def check(self, condition, name, diagnostics=""):
        """One result; diagnostics are printed only when it failed. Returns the condition."""
        self.count += 1
        self.failed += not condition
        if not condition and diagnostics != "":
            self.comment(diagnostics)
        self.print(f"{'ok' if condition else 'not ok'} {self.count} - {name}")
        return bool(condition)

    def equal(self, got, wanted, name):
        return self.check(got == wanted, name, f"got    {got!r}\nwanted {wanted!r}")

    def ok(self, name):
        return self.check(True, name)

    def not_ok(self, name, diagnostics=""):
        return self.check(False, name, diagnostics)

    def skip(self, name, reason):
        self.count += 1
        self.print(f"ok {self.count} - {name} # SKIP {reason}")

    @contextlib.contextmanager
    def case(self, name):
        """One result for a block: failed when it raises (an assert, a GuestError)."""
        start = time.monotonic()
        try:
            yield
        except Exception:  # whatever went wrong is this case's result, not the program's end
            self.check(False, name, traceback.format_exc())
        else:
            self.check(True, f"{name} ({time.monotonic() - start:.1f} s)")

    def forward(self, output, prefix=""):
        """Takes over the results that a program in a guest printed as TAP."""
        import tapreader
        reader = tapreader.Reader()
        for line in output.splitlines():
            result = reader.feed(line)
            if result is None:
                self.comment(line)
            elif result.skipped:
                self.skip(prefix + result.name, result.reason)
            else:
                self.check(result.passed, prefix + result.name)
        for missing in reader.missing():
            self.not_ok(prefix + missing)

    def exit(self):
        if self.plan is None:
            self.print(f"1..{self.count}")
        elif self.count != self.plan:
            self.comment(f"planned {self.plan}, ran {self.count}")
            self.failed += 1
        sys.exit(1 if self.failed else 0)


def main(cases, *arguments):
    """Runs functions as cases (their first docstring line names them), then exits."""
    tap = Tap(len(cases))
    for function in cases:
        name = (function.__doc__ or function.__name__.replace("_", " ")).strip().split("\n")[0]
        with tap.case(name.rstrip(".")):
            function(*arguments)
    tap.exit()
