"""Runs a program of the lab or the bench: `python tests lab.suite --slow`, with a bare Python.

Python looks for modules in the folder that it is given. So the programs find each other, wherever
one stands; and what they start in turn is told nothing of it, as it would be by PYTHONPATH.
"""

import runpy
import sys

if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("which one? e.g. python tests lab.suite")
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
