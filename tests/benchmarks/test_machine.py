"""The line that says what a figure was measured on."""

import os
import platform

from benchmarks import machine
from benchmarks.machine import Machine, this_machine


def test_it_says_what_this_process_may_use():
    found = this_machine()
    assert found.cores == len(os.sched_getaffinity(0))
    assert found.python == platform.python_version()
    assert found.cpu
    assert 0 < found.memory_gib <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30 + 0.1
    assert platform.node() not in found.line


def test_a_containers_limit_counts(tmp_path, monkeypatch):
    (tmp_path / "limit").write_text("1073741824\n")
    (tmp_path / "none").write_text("max\n")
    monkeypatch.setattr(machine, "CGROUP_LIMITS", (tmp_path / "none", tmp_path / "limit", tmp_path / "absent"))
    assert this_machine().memory_gib == 1


def test_the_line_reads_as_a_sentence():
    line = Machine("Xeon", 2, 24.0, "3.11.7", "2.13.0", ("H200", "H200")).line
    assert line == "Xeon, 2 cores, 24 GiB, H200 + H200, Python 3.11.7, torch 2.13.0"
