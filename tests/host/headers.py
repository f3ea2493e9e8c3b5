#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Every public header compiles by itself, twice in one unit, as C11 and C++17, with gcc and clang.

A unit calls what the header defines inline, so that a warning in it is one in each user's build.
"""
import pathlib
import shutil
import subprocess

import tap

ROOT = pathlib.Path(__file__).resolve().parents[2]
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wsign-conversion", "-Wundef", "-Wcast-qual",
            "-Werror"]
# Not -Wshadow for C++, where a function named as its structure is (stat, membox_info) hides a constructor.
COMPILERS = [("gcc", ["-x", "c", "-std=c11", "-Wshadow"]), ("clang", ["-x", "c", "-std=c11", "-Wshadow"]),
             ("g++", ["-x", "c++", "-std=c++17"]), ("clang++", ["-x", "c++", "-std=c++17"])]
# What a unit does with a header beyond including it.
USES = {"membox_check.h": """
int use(const struct membox_packet *p, __u32 *detail);
int use(const struct membox_packet *p, __u32 *detail)
{
	struct membox_packet copy = *p;

	membox_descriptor_to_packet(&copy);
	return membox_check_packet(&copy, ~0ULL, MEMBOX_MAX_BYTES, detail) +
	       membox_status_errno(MEMBOX_ST_OK) + membox_need_event(1, 2, 3) +
	       (int)membox_ring_slot(1, 2) + (int)membox_ring_phase(1, 2);
}
"""}


def main():
    out = tap.Tap()
    headers = sorted((ROOT / "uapi").glob("*.h")) + sorted((ROOT / "userlib/include/membox").glob("*.h"))
    for compiler, language in COMPILERS:
        if not shutil.which(compiler):
            out.skip(f"headers with {compiler}", "it is not installed")
            continue
        for header in headers:
            include = ["-I", str(ROOT / "uapi")] if header.parent.name == "uapi" else ["-I", str(header.parents[1])]
            unit = f'#include "{header}"\n#include "{header}"\n' + USES.get(header.name, "") + "extern int nothing;\n"
            result = subprocess.run([compiler, *language, *WARNINGS, *include, "-fsyntax-only", "-"],
                                    input=unit, capture_output=True, text=True)
            out.check(result.returncode == 0, f"{header.relative_to(ROOT)} with {compiler} as {language[2]}",
                      result.stderr[-3000:])
    out.exit()


if __name__ == "__main__":
    main()
