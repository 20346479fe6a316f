"""A module run as `python -m` runs it, each of its forked processes sampled by its own processor time.

    python -m benchmarks.sampler OUT MODULE ARGUMENT...

Every four milliseconds of its processor time (SIGPROF) a process notes where it is. At its end it writes
OUT.PID: a line for each stack, frames outermost first with `;` between them, a space, a count.

Rule: nothing stops the process from outside. What does (ptrace, and so py-spy) finds it at system
calls far too often, as that is where it stops: a look into a socket of 0.3 us passed for 5.
"""

from __future__ import annotations

import atexit
import os
import runpy
import signal
import sys
from collections import Counter
from pathlib import Path

EVERY_S = 0.004  # a tick of most kernels; no finer one comes
BEGUN = "(begun)"  # the innermost function has done nothing yet: the time was its caller's
FIRST_STEPS = 4  # bytes of code up to where Python looks at signals in a function that begins

found: Counter[str] = Counter()


def note(_signal, frame):
    """Count the present stack."""
    frames = [BEGUN] if frame.f_lasti <= FIRST_STEPS else []
    while frame is not None:
        code = frame.f_code
        frames.append(f"{code.co_qualname} ({code.co_filename}:{frame.f_lineno})")
        frame = frame.f_back
    found[";".join(reversed(frames))] += 1


def begin(out):
    """Sample this process from now to its end; what its parent found is its parent's."""
    found.clear()
    atexit.register(write, out)
    signal.signal(signal.SIGPROF, note)
    signal.setitimer(signal.ITIMER_PROF, EVERY_S, EVERY_S)


def write(out):
    signal.setitimer(signal.ITIMER_PROF, 0)
    lines = [f"{stack} {count}\n" for stack, count in found.items()]
    Path(f"{out}.{os.getpid()}").write_text("".join(lines), "utf-8")


def main():
    out, module, *arguments = sys.argv[1:]
    os.register_at_fork(after_in_child=lambda: begin(out))
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
