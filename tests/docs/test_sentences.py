"""Commands within sentences: each is one that its program takes.

A span of code that begins with a program is a command of it. One that goes on with an option, or with
nothing, speaks of the command; any other must be whole.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import typer

from tests import ROOT
from tests.docs.pages import PAGES, words
from tests.docs.test_commands import command_of, of_testbed

GENERATED = ROOT / "docs" / "COMMANDS.md"
"""Has each command's usage in its own notation; :mod:`tests.commands.test_commands_page` holds it."""

USAGE: type[Exception] = typer.BadParameter.__base__ or Exception
"""What the command line raises if it is given what it does not take."""

each_page = pytest.mark.parametrize(
    "page", [page for page in PAGES if page != GENERATED], ids=lambda page: str(page.relative_to(ROOT))
)


def spans(page: Path) -> list[str]:
    """Code within a page's sentences, without its line breaks, and without what it reads or writes beside."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    return [re.sub(r" [<>] ?\S+$", "", " ".join(span.split())) for span in re.findall(r"`([^`]+)`", text)]


def check_testbed(command: str) -> None:
    """That the command line takes what is given, or has the options that are spoken of."""
    arguments = of_testbed(command) or []
    if not arguments or arguments in (["--help"], ["trace"], ["models"]) or " | " in command:
        return
    found, name, rest = command_of(arguments)
    if rest and not rest[0].startswith("-"):
        found.make_context(name, list(rest))  # which takes the words, or says what is wrong with one
    known = {option for parameter in found.params for option in parameter.opts}
    assert {word.partition("=")[0] for word in rest if re.match(r"--?[a-z]", word)} <= known, command
    named = [word for word in rest if re.match(r"(?:scenarios|traces|tests|docs)/", word)]
    assert [word for word in named if not (ROOT / word).exists()] == [], command


def check_module(module: str, given: list[str]) -> None:
    """That a module is a program, and that its source has each option that is given."""
    path = ROOT / module.replace(".", "/")
    sources = sorted(path.glob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
    main = path / "__main__.py" if path.is_dir() else sources[0]
    assert re.search(r"^if __name__ == |^sys\.exit\(|^main\(\)", main.read_text(), re.MULTILINE), module
    text = "".join(source.read_text() for source in sources)
    options = [word.partition("=")[0] for word in given if word.startswith("--")]
    assert [option for option in options if f'"{option}"' not in text] == [], module


def check(command: str) -> None:
    """That a program that is named, whichever it is of the repository's, takes its words."""
    if re.match(r"(?:\S*/)?testbed\b", command.removeprefix("sudo ")):
        check_testbed(command[command.index("testbed") :])
    elif found := re.search(r"python3? -m ((?:testbed|tests|tiers)\.[\w.]+|tests\b)(.*)", command):
        check_module(found[1], words(found[2].replace("…", "")))
    elif re.match(r"(?:\w+=\S+ )?make ", command):
        told = subprocess.run(
            ["make", "-n", *words(command[command.index("make ") + 5 :])],
            cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert told.returncode == 0, f"{command}: {told.stderr}"
        for line in told.stdout.splitlines():
            if re.search(r"python -m|^(sudo -E )?\.venv/bin/testbed", line):
                check(line.strip().removeprefix("sudo -E "))


@each_page
def test_each_command_in_a_sentence_is_one_that_its_program_takes(page: Path) -> None:
    for span in spans(page):
        check(span)


@pytest.mark.parametrize(
    "command",
    [
        "testbed weigh x.yaml",
        "testbed run x.yaml --request 5",
        "testbed packets results/x recserve",
        "testbed what-if --queue",
        "testbed run scenarios/none.yaml",
        "make tea",
        'make paper ARGS="--claim beta"',
        'make demo ARGS="--request 5"',
        "python -m tests.bench.scale_bench --device 300",
        "python -m tests.bench.scales",
        "python -m tests.docs.pages",
    ],
)
def test_what_its_program_does_not_take_is_noticed(command: str) -> None:
    with pytest.raises((AssertionError, USAGE, OSError)):
        check(command)
