"""Fakes of everything in `cto.ports`; tests/contract runs the same cases on them and the real."""
