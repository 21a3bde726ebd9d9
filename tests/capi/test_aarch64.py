"""The NEON kernels under emulation: the table of boundary cases, and whole networks."""

from dataclasses import replace
from pathlib import Path

import built
import corpus
import kernel_reference as reference
import numpy as np
import pytest
from kernel_cases import Case, table
from kernel_run import output_of, with_small_chunks

from openwork.kernels.narrow.pair_tile import FAMILY as PAIRS
from openwork.kernels.native import extension as _C
from openwork.kernels.packed import Packed
from openwork.kernels.problem import Problem
from openwork.runtime.packed.layout import PackedFile
from openwork.runtime.packed.recording import Recording

CASES = list(table())
PART = 40


def _file(case: Case, problem: Problem) -> tuple[PackedFile, list[str]]:
    """A network that gives one output for each candidate, and the candidates' names."""
    recording = Recording("neon")
    g = problem.geometry
    shapes = (g.in_channels, *g.size), (g.out_channels, *g.out_size)
    sizes = [int(np.prod(shape)) for shape in shapes]
    x, residual = recording.input(sizes[0]), recording.input(sizes[1])
    names = []
    for candidate in with_small_chunks(problem, "neon"):
        output = recording.output(sizes[1])
        layer = candidate.build(problem)
        recording.layer(layer, x, output, residual if case.residual else None)
        names.append(candidate.name)
    inputs = [("x", shapes[0]), ("residual", shapes[1])]
    return corpus.packed(recording, "neon", inputs, [(name, shapes[1]) for name in names]), names


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, len(CASES), PART))
def test_every_case_of_the_table_is_as_exact_as_the_reference(first: int, tmp_path: Path) -> None:
    command = built.aarch64("openwork_run")
    lines, checks = [], []
    for number, case in enumerate(CASES[first : first + PART]):
        problem, random = case.problem(), np.random.default_rng(first + number)
        g = problem.geometry
        x = random.standard_normal((case.batch, g.in_channels, *g.size)).astype(np.float32)
        shape = (case.batch, g.out_channels, *g.out_size)
        residual = random.standard_normal(shape).astype(np.float32)
        file, names = _file(case, problem)
        path = tmp_path / f"{number}.ow"
        path.write_bytes(file.to_bytes().tobytes())
        path.with_suffix(".in").write_bytes(x.tobytes() + residual.tobytes())
        threads = 1 + number % 2
        out = path.with_suffix(".out")
        lines.append(f"{path} {case.batch} {threads} {path.with_suffix('.in')} {out}")
        checks.append((case, problem, x, residual if case.residual else None, names, out))
    built.run(command, lines)
    for case, problem, x, residual, names, out in checks:
        total, size = reference.convolve(problem, x)
        wanted = reference.finish(problem, total, residual)
        found = np.fromfile(out, np.float32).reshape(len(names), *wanted.shape)
        for name, output in zip(names, found, strict=True):
            allowed = reference.tolerance(problem, x, size, residual, name)
            wrong = int((~(np.abs(output - wanted) <= allowed)).sum())
            assert wrong == 0, (str(case), name, wrong)


@pytest.mark.slow
def test_every_step_gives_what_it_gives_here(tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((3, 48), np.float32)
    x.tofile(tmp_path / "in")
    (tmp_path / "neon.ow").write_bytes(corpus.of_steps("neon").to_bytes().tobytes())
    (tmp_path / "here.ow").write_bytes(corpus.of_steps("baseline").to_bytes().tobytes())
    line = f"{tmp_path}/neon.ow 3 2 {tmp_path}/in {tmp_path}/out"
    built.run(built.aarch64("openwork_run"), [line])
    program, _ = _C.open_packed(str(tmp_path / "here.ow"))
    wanted = np.empty((3, 48), np.float32)
    program.run([x], [wanted], np.empty(program.arena(3, 1), np.float32), 3, 1)
    found = np.fromfile(tmp_path / "out", np.float32).reshape(3, 48)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_sums_in_bfloat16_are_the_same_bit_for_bit(tmp_path: Path) -> None:
    lines, checks = [], []
    for number, case in enumerate(CASES[::23]):
        problem = replace(case.problem(), activation="none")
        if PAIRS.refusal(problem) is not None:
            continue
        x = np.random.default_rng(number).standard_normal(
            (case.batch, case.inputs, *case.size), dtype=np.float32
        )
        # The last of each have the same groups and chunks, on which the order of sums depends.
        *_, there = PAIRS.candidates(problem, "neon", 1)
        *_, here = PAIRS.candidates(problem, "baseline", 1)
        path, out = tmp_path / f"{number}.ow", tmp_path / f"{number}.out"
        recording, shape = Recording("neon"), (case.outputs, *problem.geometry.out_size)
        input, size = recording.input(x[0].size), int(np.prod(shape))
        recording.layer(there.build(problem), input, recording.output(size), None)
        file = corpus.packed(recording, "neon", [("x", x[0].shape)], [("y", shape)])
        path.write_bytes(file.to_bytes().tobytes())
        path.with_suffix(".in").write_bytes(x.tobytes())
        lines.append(f"{path} {case.batch} 2 {path.with_suffix('.in')} {out}")
        checks.append((out, output_of(Packed(problem, here), x, None)))
    built.run(built.aarch64("openwork_run"), lines)
    for out, wanted in checks:
        np.testing.assert_array_equal(np.fromfile(out, np.float32), wanted.reshape(-1))


@pytest.mark.slow
def test_bytes_are_the_same_bit_for_bit(tmp_path: Path) -> None:
    lines, checks = [], []
    for number, (file, here) in enumerate(
        zip(corpus.byte_files("neon"), corpus.byte_files("baseline"), strict=True)
    ):
        random = np.random.default_rng(number)
        given = [random.standard_normal((3, *shape)).astype(np.float32) for _, shape in file.inputs]
        (tmp_path / f"{number}.in").write_bytes(b"".join(each.tobytes() for each in given))
        path, out = tmp_path / f"{number}.ow", tmp_path / f"{number}.out"
        path.write_bytes(file.to_bytes().tobytes())
        lines.append(f"{path} 3 2 {tmp_path}/{number}.in {out}")
        (tmp_path / "here.ow").write_bytes(here.to_bytes().tobytes())
        program, _ = _C.open_packed(str(tmp_path / "here.ow"))
        wanted = np.empty((3, *file.outputs[0][1]), np.float32)
        program.run(given, [wanted], np.empty(program.arena(3, 1), np.float32), 3, 1)
        checks.append((out, wanted))
    built.run(built.aarch64("openwork_run"), lines)
    for out, wanted in checks:
        np.testing.assert_array_equal(np.fromfile(out, np.float32), wanted.reshape(-1))
