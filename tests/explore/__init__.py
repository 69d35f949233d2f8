"""Tests of alexnet.explore."""
