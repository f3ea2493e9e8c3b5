#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The device behind a virtual IOMMU (VT-d, strict): driver and device with addresses that are translated."""
# kernels: 6.12 debug
import os
import pathlib
import subprocess
import sys
import tempfile

import tap
from vm import box_args

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "common"))
from fleet import BUILD, TOOLS, Computer  # noqa: E402 (the path comes first)

KERNEL = os.environ.get("KERNEL", "6.12")

out = tap.Tap()
with tempfile.TemporaryDirectory(prefix="membox-iommu-", dir="/dev/shm") as folder:
    box = pathlib.Path(folder) / "box"
    subprocess.run([BUILD / "bin/memboxctl", "format", box, "--size", "256M", "--ports", "8"], check=True,
                   stdout=subprocess.DEVNULL, timeout=120)
    with Computer(f"iommu-{KERNEL}", kernel=KERNEL, files={"/usr/bin/packet": TOOLS / "packet"},
                  devices=["-device", "intel-iommu", *box_args(box), "-device", "membox,memdev=box"],
                  append="intel_iommu=on iommu.strict=1") as guest:
        guest.insmod()
        log = guest.run("dmesg")[1]
        out.check("Virtualization Technology for Directed I/O" in log and "strict mode" in log,
                  "addresses are translated, strictly", log)
        status, output = guest.run("packet", 900)
        out.forward(output)
        out.equal(status, 0, "packet ends well")
        log = guest.run("dmesg")[1]
        out.check("DMAR: [DMA" not in log, "the IOMMU met no fault", log)
        out.equal(guest.check_log(), [], "no complaint in the kernel log")
out.exit()
