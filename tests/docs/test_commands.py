"""Every command in the documents is run by a test, or the line above its block says why none runs it.

A block of commands is either

- noted: ``<!-- not run: WHY -->`` or ``<!-- run by: tests/FILE.py::test_NAME -->`` stands above it;
- on a page of :data:`FOLLOWED`, which :mod:`tests.docs.test_followed` follows word by word, as root;
- or run here, in the page's order, in a folder that has the runs and files that it names (:func:`prepared`).

Whatever runs it, each ``testbed`` command is one that the command line takes.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import typer
from typer.core import TyperCommand, TyperGroup

from testbed.cli import app
from tests import ROOT
from tests.docs.named import lacking
from tests.docs.pages import PAGES, SHELL, Block, blocks, shell_blocks, typed, words
from tests.docs.test_followed import FOLLOWED
from tests.study.sweep.made import made_sweep

RUN = ROOT / "tests" / "data" / "run-v1"
PLACEHOLDERS = {
    "results/RUN": "run",
    "RUN": "run",
    "results/smoke": "run",
    "results/loss": "loss",
    "results/loss-of-last-week": "last-week",
    "SCENARIO": "scenarios/quickstart.yaml",
    "MATRIX…": "scenarios/recorded/rotten_tomatoes.parquet",
    "FILE": "scenarios/recorded/rotten_tomatoes.parquet",
}
"""What stands for the reader's own, and what it is here."""
NOT_VALID = "recserve.latency_ms.p95<400"
"""Too few requests were measured in the run that is here, so that this expectation must fail."""
MADE_THERE = re.compile(r"^(results/|mine\.yaml|gpu\.yaml|(llama|answers)\.parquet)")
SHOWN = [block for block in shell_blocks() if block.note is None and block.page not in FOLLOWED]
QUICK_PAGES = sorted({block.page for block in SHOWN})


def of_testbed(command: str) -> list[str] | None:
    """The words behind ``testbed``, of a command that is the testbed's own."""
    found = re.search(r"(?:^|\$\()testbed ([^)]*)", command)
    return None if found is None else words(found[1])


def command_of(arguments: list[str]) -> tuple[TyperCommand, str, list[str]]:
    """The command that words behind ``testbed`` name, its name, and the words behind that."""
    command: object = typer.main.get_command(app)
    name, rest = "testbed", list(arguments)
    while isinstance(command, TyperGroup) and rest:
        # `testbed trace SCENARIO` is `testbed trace of SCENARIO`.
        word = rest[0] if rest[0] in command.commands else "of"
        rest = rest[1:] if word == rest[0] else rest
        name, command = f"{name} {word}", command.commands.get(word)
    assert isinstance(command, TyperCommand), f"testbed {' '.join(arguments)}: is no command"
    return command, name, rest


def prepared(page: Path, folder: Path) -> None:
    """A checkout's examples, the page's own files, and runs and sweeps in place of the reader's."""
    for name in ("scenarios", ".venv"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "traces", folder / "traces")
    for name in ("results/loss", "results/loss-of-last-week"):
        if name in page.read_text():
            made_sweep(folder / PLACEHOLDERS[name], ["links.core.loss=0%,1%"])
    shutil.copytree(RUN, folder / "run")
    (folder / "results").mkdir()
    for block in blocks(page):
        if block.title is not None:
            (folder / block.title).write_text(block.text.replace("results/RUN", "run"))


def here(command: str) -> str:
    """A command with what is here in place of the reader's own."""
    return " ".join(PLACEHOLDERS.get(word, word) for word in command.split(" "))


@pytest.mark.parametrize("block", shell_blocks(), ids=str)
def test_what_is_said_of_a_block_is_a_reason_or_a_test(block: Block) -> None:
    assert block.commands
    if block.note is None:
        return
    kind, _, rest = block.note.partition(": ")
    if kind == "run by":
        path, _, name = rest.partition("::")
        definition = rf"^(?:async )?def {re.escape(name)}\("
        assert re.search(definition, (ROOT / path).read_text(), re.MULTILINE), rest
        for command in block.commands:
            assert lacking(command, ROOT / path, name) == [], f"{rest} does not run: {command}"
    else:
        assert kind == "not run"
        assert len(rest.split()) >= 3, f"{block}: why?"
        named = re.findall(r"\b(?:tests|testbed|\.ci)/[\w./]*\w", rest)
        assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_command_of_the_testbed_is_one_and_names_files_that_exist(page: Path) -> None:
    titles = {block.title for block in blocks(page)}
    in_blocks = [command for block in blocks(page) if block.language in SHELL for command in block.commands]
    for command in in_blocks:
        arguments = of_testbed(command)
        if arguments is None:
            continue
        found, name, rest = command_of(arguments)
        found.make_context(name, list(rest))  # which takes the words, or says what is wrong with one
        named = [word for word in arguments if re.match(r"(scenarios|traces|tests|docs)/", word)]
        missing = [word for word in named if not (ROOT / word).exists() and word not in titles]
        assert [word for word in missing if arguments[arguments.index(word) - 1] != "--out"] == [], command


@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", QUICK_PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_quick_commands_are_run_in_the_pages_order(page: Path, tmp_path: Path) -> None:
    prepared(page, tmp_path)
    for block in SHOWN:
        if block.page == page:
            for command in block.commands:
                for made in re.findall(r"--out (traces/\S+)", command):
                    (tmp_path / made).unlink()  # so that it is made anew, and compared below
                done = typed(here(command), tmp_path, 120)
                expected = 1 if NOT_VALID in command else 0
                assert done.returncode == expected, f"{block}: {command}\n{done.stdout}\n{done.stderr}"
                if of_testbed(command) is None:  # a program from the page, which says whether something holds
                    assert done.stdout
                    assert "False" not in done.stdout
    for trace in (ROOT / "traces").glob("*.jsonl"):
        assert (tmp_path / "traces" / trace.name).read_bytes() == trace.read_bytes(), trace.name
