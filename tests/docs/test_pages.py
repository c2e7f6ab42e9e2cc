"""What is read out of documents, and out of what commands print."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.named import lacking
from tests.docs.pages import blocks, typed_together, without_remark
from tests.docs.printed import facts
from tests.docs.test_commands import command_of, of_testbed

PAGE = """\
# Page

```yaml title="mine.yaml"
name: mine   # not a command
```

<!-- not run: it needs a machine on the moon -->

```sh
testbed run mine.yaml --set 'name="a # b"' \\
    --quiet    # a remark
make demo ARGS="#1"
```

```console
$ testbed report RUN
Methods
```
"""


def test_blocks_have_their_commands_files_and_reasons(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(PAGE)
    file, noted, shown = blocks(tmp_path / "page.md")
    assert (file.title, file.line, file.text) == ("mine.yaml", 3, "name: mine   # not a command\n")
    assert noted.note == "not run: it needs a machine on the moon"
    assert noted.commands == [
        "testbed run mine.yaml --set 'name=\"a # b\"' --quiet",
        'make demo ARGS="#1"',
    ]
    assert (shown.note, shown.commands) == (None, ["testbed report RUN"])


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("a b  # c", "a b"),
        ("# all of it", ""),
        ("a '#b' \"#\" c#d # e", "a '#b' \"#\" c#d"),
        ("it's # odd", "it"),
    ],
)
def test_a_remark_is_none_within_quotes_or_a_word(line: str, command: str) -> None:
    assert without_remark(line) == command


@pytest.mark.parametrize(
    ("command", "name", "rest"),
    [
        ("testbed trace show x.jsonl", "testbed trace show", ["x.jsonl"]),
        ("testbed trace x.yaml", "testbed trace of", ["x.yaml"]),
        ("MODELS=$(testbed models prepare)", "testbed models prepare", []),
    ],
)
def test_commands_are_those_of_the_command_line(command: str, name: str, rest: list[str]) -> None:
    arguments = of_testbed(command)
    assert arguments is not None
    assert command_of(arguments)[1:] == (name, rest)


def test_what_is_no_command_of_the_testbed_is_noticed() -> None:
    assert of_testbed("make demo") is None
    with pytest.raises(AssertionError, match="testbed weigh x: is no command"):
        command_of(["weigh", "x"])


def test_commands_that_are_typed_together_share_a_shell_up_to_one_that_fails(tmp_path: Path) -> None:
    commands = ["export X='a b'", "echo $X; echo no >&2", "false", "echo never"]
    _, told, failed = typed_together(commands, tmp_path, tmp_path / "notes")
    assert (told.args, told.returncode, told.stdout, told.stderr) == (commands[1], 0, "a b\n", "no\n")
    assert (failed.args, failed.returncode) == ("false", 1)


SOURCE = """
from tests.e2e.runs import run_command

ASKED = ("--pilot", "--queues=5")

@fixture
def made():
    run_command("what-if", *ASKED)

def test_it(made):
    'It does not --sweep.'
    assert ran("--short")

def test_another():
    run_command("sweep")
"""


@pytest.mark.parametrize(
    ("command", "lacks"),
    [
        ("testbed what-if RUN --pilot results/x --queues 5", []),
        ("testbed what-if RUN --queues 6", ["6"]),
        ("testbed what-if --short", ["--short"]),
        ("testbed sweep", ["sweep"]),
        ("testbed report --sweep", ["report", "--sweep"]),
    ],
)
def test_a_test_that_is_named_has_each_word_of_the_command(
    tmp_path: Path, command: str, lacks: list[str]
) -> None:
    (tmp_path / "test_it.py").write_text(SOURCE)
    assert lacking(command, tmp_path / "test_it.py", "test_it") == lacks


TABLE = """\
Methods
┏━━━━━━━━┳━━━━━━━━━┳━━━━━━━━┓
┃        ┃ prompt  ┃ frames ┃
┃ method ┃ KB      ┃ KB     ┃
┡━━━━━━━━╇━━━━━━━━━╇━━━━━━━━┩
│ gentle │     1.5 │   22.9 │
└────────┴─────────┴────────┘
took 3 s
   -0.056102  up      368  PA   389   502  r000003   prompt 84, envelope 58
   -0.000417  down     66  A    502   691  r000003   tcp control 66
┌─────────┬───────┐
│ bytes   │ true  │
│ latency │ false │ late
└─────────┴───────┘
"""


def test_what_varies_between_runs_is_no_fact_and_all_else_is() -> None:
    assert facts(TABLE) == [
        {"": "Methods"},
        {"method": "gentle", "prompt KB": "1.5"},
        {"": "up 368 PA 389 502 r000003 prompt 84, envelope 58"},
        {"bytes": "true"},
    ]
