"""Tests of training share the small market of the model tests."""

from tests.models.conftest import frames, job, panel, parameters, samples

__all__ = ["frames", "job", "panel", "parameters", "samples"]
