"""Decides whether a release is to blame. Pure: no clock, no I/O."""
