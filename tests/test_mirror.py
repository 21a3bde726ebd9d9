"""Every file has its tests where one looks: `src/openwork/room/name.py` has `room/test_name.py`."""

from pathlib import Path

import pytest

import openwork

TESTS = Path(__file__).parent
SOURCE = Path(openwork.__file__).parent
# They hold no code that a test could ask about.
EXEMPT = {"__init__.py", "__main__.py", "_version.py"}
_COMMAND = "a command of a few lines, run there as a person runs it"
_NODES = "interchange/test_node_cases.py"
_HANDLED = "the tests that ONNX has for each operator run there: activations, arithmetic and all"
# Files without a test of the same name: the test that holds them, and why it is that one.
ELSEWHERE = {
    "cli/app.py": ("cli/test_cli.py", "every command is called through it"),
    "cli/bench.py": ("cli/test_cli.py", _COMMAND),
    "cli/compact.py": ("cli/test_channels.py", _COMMAND),
    "cli/compile.py": ("cli/test_cli.py", _COMMAND),
    "cli/demo.py": ("test_demo.py", "a command of one call, which is tested there"),
    "cli/env.py": ("cli/test_cli.py", _COMMAND),
    "cli/info.py": ("cli/test_cli.py", _COMMAND),
    "cli/observe.py": ("cli/test_channels.py", _COMMAND),
    "cli/options.py": ("cli/test_cli.py", "only names, types and help of the commands' options"),
    "cli/train.py": ("cli/test_cli.py", _COMMAND),
    "interchange/handle/activations.py": (_NODES, _HANDLED),
    "interchange/handle/arithmetic.py": (_NODES, _HANDLED),
    "interchange/handle/layers.py": (_NODES, _HANDLED),
    "interchange/handle/movement.py": (_NODES, _HANDLED),
    "interchange/handle/norms.py": (_NODES, _HANDLED),
    "interchange/handle/pools.py": (_NODES, _HANDLED),
    "interchange/handle/reductions.py": (_NODES, _HANDLED),
    "interchange/handle/resize.py": (_NODES, _HANDLED),
    "interchange/handle/shapes.py": (_NODES, _HANDLED),
    "interchange/handle/table.py": (_NODES, _HANDLED),
    "interchange/handle/windows.py": (_NODES, _HANDLED),
    "interchange/input_form.py": (
        "interchange/test_example.py",
        "three attributes (name, shape, dtype) of the input_form that example_of reads",
    ),
    "prune/layer_ratios.py": (
        "prune/test_aim.py",
        "ratios by glob are given there",
    ),
    "prune/left.py": (
        "prune/test_aim.py",
        "what is left of the network is asked for there",
    ),
    "prune/sensitivity_file.py": (
        "prune/test_sensitivity.py",
        "runs are stopped, resumed and refused there by their sensitivity_file",
    ),
    "prune/sensitivity_picture.py": (
        "prune/test_sensitivity_result.py",
        "the picture is written there, by sensitivity_picture",
    ),
    "report/page/style.py": ("report/page/test_chart.py", "two texts of style that pages hold"),
    "ops/gradients.py": ("ops/test_native.py", "both gradient operators are run there"),
    "walk/walk.py": ("test_unchanged.py", "what a walk reaches is changed and put back there"),
    "engine/segment.py": ("engine/test_segments.py", "a protocol; what follows it is run there"),
}


def mirror_of(source: str) -> str:
    """Where the test of `source` lies; both as paths within src/openwork and tests."""
    path = Path(source)
    return str(path.with_name(f"test_{path.stem.removeprefix('_')}.py"))


FILES = [
    str(path.relative_to(SOURCE))
    for path in sorted(SOURCE.rglob("*.py"))
    if path.name not in EXEMPT
]


def test_every_file_has_a_test_of_its_name_or_a_reason() -> None:
    untested = {source for source in FILES if not (TESTS / mirror_of(source)).is_file()}
    assert untested == ELSEWHERE.keys()


@pytest.mark.parametrize("source", ELSEWHERE)
def test_a_reason_is_for_a_file_that_is_there_and_names_its_test(source: str) -> None:
    test, reason = ELSEWHERE[source]
    assert (SOURCE / source).is_file()
    assert Path(source).stem.removeprefix("_") in (TESTS / test).read_text()
    assert len(reason) > 20


def test_every_test_is_of_a_file_that_is_there_or_of_several() -> None:
    """A test that stayed behind when its file was renamed is found here."""
    tests = {str(test.relative_to(TESTS)) for test in TESTS.rglob("test_*.py")}
    assert tests - {mirror_of(source) for source in FILES} == OF_SEVERAL


# Tests of the project as a whole, and of what several files do together.
OF_SEVERAL = {
    "test_csrc.py",
    "test_docstrings.py",
    "test_left_as_it_was.py",
    "test_mirror.py",
    "test_paths.py",
    "test_public_api.py",
    "test_readme.py",
    "test_rooms.py",
    "test_studies.py",
    "test_study_grids.py",
    "test_words.py",
    "capi/test_aarch64.py",
    "capi/test_install.py",
    "capi/test_openwork_h.py",
    "cli/test_channels.py",
    "cli/test_cli.py",
    "cli/test_patterns.py",
    "docs/test_facts.py",
    "docs/test_pages.py",
    "compact/test_compact_families.py",
    "compact/test_compact_pretrained.py",
    "quantize/test_quantize_pretrained.py",
    "interchange/test_node_cases.py",
    "kernels/test_native_batch_norm.py",
    "kernels/test_native_boundary.py",
    "kernels/test_native_fuzz.py",
    "kernels/test_native_gemv.py",
    "kernels/test_native_kernels.py",
    "kernels/test_native_normalize.py",
    "kernels/test_native_steps.py",
    "models/test_depth_multiplier.py",
    "runtime/test_first_files.py",
    "train/test_distributed.py",
    "train/test_kernels_train_alike.py",
    "train/test_resume.py",
}
