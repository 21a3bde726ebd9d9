"""The environment report says what is there and what is missing."""

import importlib.util

import pytest
import torch

import openwork as ow
from openwork.report import environment


def test_it_names_versions_kernels_and_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENWORK_DATA", "/some/where")
    found = dict(environment().rows)
    assert found["openwork"] == ow.__version__
    assert found["torch"] == torch.__version__
    assert found["OPENWORK_DATA"] == "/some/where"
    assert "dense operators" in found["kernels: reference"]


def test_a_missing_package_comes_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert dict(environment().rows)["timm"] == "missing: pip install openwork[zoo]"
