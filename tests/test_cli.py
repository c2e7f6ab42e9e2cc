"""A user's mistake is one sentence on standard error, with a status that is not 0, and never a traceback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from testbed.cli import main
from testbed.results.directory import RunDirectory
from tests import ROOT, SCENARIOS

SMOKE = SCENARIOS / "smoke.yaml"
RUN = ROOT / "tests" / "data" / "run-v1"
COMMANDS = (
    *(
        "run",
        "report",
        "compare",
        "plan",
        "packets",
        "audit",
        "validate",
        "doctor",
        "clean",
        "trace",
        "trace of",
        "trace build",
        "trace import",
        "trace show",
        "what-if",
        "serve",
        "shell",
    ),
    *("models", "models prepare", "models evaluate", "models record", "models import", "models train"),
)
SENTENCES = {
    "wrong key": ("beta:", "betta:", "methods.recserve.betta", "beta"),
    "wrong unit": ("rate: 20mbit", "rate: 20mbps", "links.access.rate", "bit"),
    "no unit": ("rate: 20mbit", "rate: 20", "links.access.rate", "unit"),
    "wrong tier": ("[edge, cloud]", "[edge, clout]", "links.core", "clout"),
    "wrong model": ("{kind: recorded, service: 2ms}", "embedded/devise", "tiers.device.model", "device"),
    "wrong data set": ("dataset: rotten_tomatoes", "dataset: rotten_potatoes", "task", "rotten_tomatoes"),
    "wrong method": ("{name: cloud-only}", "{name: clod-only}", "methods", "cloud-only"),
}


def told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    """What ``testbed`` says of these arguments; it must be one sentence and a failure."""
    monkeypatch.setattr(sys, "argv", ["testbed", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    captured = capsys.readouterr()
    assert ended.value.code not in (0, None)
    assert captured.out == ""
    assert len(captured.err.strip().splitlines()) == 1
    return captured.err


@pytest.mark.parametrize("mistake", SENTENCES)
def test_a_wrong_scenario_is_told_with_file_field_and_mend(
    mistake: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    right, wrong, field, mend = SENTENCES[mistake]
    text = SMOKE.read_text()
    assert right in text
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace(right, wrong, 1))
    sentence = told(capsys, monkeypatch, "run", str(path))
    assert str(path) in sentence
    assert field in sentence
    assert mend in sentence


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("run", "nowhere.yaml"), "nowhere.yaml"),
        (("run", str(SMOKE), "--set", "links.acces.loss=1%"), "links.acces"),
        (("run", str(SMOKE), "--methods", "cloud"), "cloud"),
        (("run", str(SMOKE), "--requests", "0"), "--requests"),
        (("run", str(SMOKE), "--vm", "always"), "--vm: every scenario now runs natively; leave it out"),
        (("validate", "--vm=never"), "--vm: every scenario now runs natively; leave it out"),
        (("vm", "--docker", "--", "ls", "-l"), "vm: every scenario now runs natively; leave it out"),
        (("vm", "--help"), "vm: every scenario now runs natively; leave it out"),
        (("run", str(SMOKE), "--frobnicate"), "--frobnicate"),
        (("audit", "/"), "manifest.json"),
        (("report", "/nowhere"), "there is no such directory"),
        (("report", str(RUN), "--width", "3"), "--width: is about figures; add --figures"),
        (("report", str(RUN), "--page", "--font-size", "9"), "--font-size: is about figures; add --figures"),
        (("models", "train", "moon"), "moon"),
        (("serve",), "Missing argument"),
        (("serve", str(SMOKE), "--device", "device3"), "--device: tier device has no node 'device3'"),
        (("serve", str(SMOKE), "--method", "oracle"), "--method: the scenario has no method 'oracle'"),
        (("serve", str(SMOKE), "--port", "0"), "--port"),
        (("serve", str(SMOKE), "--host", "192.0.2.1"), "--host: 192.0.2.1"),
        (("serve", str(SMOKE), "--out", "x"), "--out: is where a record goes; add --record"),
        (("shell", str(SMOKE), "--out", "x"), "--out: is where a record goes; add --record"),
        (("shell", str(SMOKE), "--method", "oracle"), "--method: the scenario has no method 'oracle'"),
        (("sweep", "/nowhere/x.yaml"), "x.yaml"),
        (("sweep", "scenarios/smoke.yaml", "--set", "links.core.lost=1,2"), "lost"),
        (("packets", "/nowhere", "recserve", "a-b"), "there is no such directory"),
        (("packets", str(RUN), "recserv", "device1-edge1"), "did you mean recserve?"),
        (("packets", str(RUN), "recserve", "device1-edge"), "did you mean device1-edge1?"),
        (("packets", str(RUN), "recserve", "device1-edge1", "--direction", "left"), "must be up or down"),
        (("packets", str(RUN), "recserve", "device1-edge1", "--request", "r3"), "has no request 'r3'"),
        (("packets", str(RUN), "recserve", "device1-edge1", "--limit", "-1"), "--limit"),
        (("audit", "/nowhere", "--wire"), "there is no such directory"),
        (("validate", "--only", "rates"), "round-trip"),
        (("validate", "--envelope", "--short"), "--only"),
        (("validate", "--envelope", "--budget", "10"), "--budget"),
        (("dance",), "dance"),
        (("models", "evaluate", "--limit", "0"), "--limit"),
        (("models", "evaluate", "translations"), "no ladder 'translations'; there are"),
        (("models", "evaluate", "translation", "--dataset", "imdb"), "--dataset: imdb is for classification"),
        (("models", "record"), "name a scenario, whose tiers' models are recorded, or give --model"),
        (("models", "record", str(SMOKE)), "device: is recorded already"),
        (("models", "record", str(SMOKE), "--dataset", "imdb"), "a scenario says that itself"),
        (("models", "record", str(SMOKE), "--out", str(SMOKE)), "is there already; name another file"),
        (("models", "record", "--model", "a/b"), "--dataset: is missing"),
        (("models", "record", "--model", "a/b", "--dataset", "imbd"), "did you mean imdb"),
        (("trace", "scenarios/nowhere.yaml"), "nowhere.yaml"),
        (("trace", "build", "--requests", "3"), "Missing option '--rate'"),
        (("trace", "build", "--requests", "3", "--rate", "1"), "--dataset: give it, or --scenario"),
        (("trace", "import", "asure", "x.csv"), "no format 'asure' of traces; did you mean azure"),
        (("trace", "import", "azure", "x.csv", "--dataset", "gsm8k"), "x.csv: cannot be read"),
        (("trace", "import", "azure", "x.csv", "--requests", "0"), "--requests"),
        (("trace", "show", "/nowhere.jsonl"), "/nowhere.jsonl: cannot be read"),
        (("trace", "show", "/nowhere.jsonl", "--unit", "h"), "--unit: 'h' is none; give one of s, ms, epoch"),
        (("trace", "show", str(SMOKE), "--unit", "s"), "--unit, --scenario: are for trace files"),
        (("models", "import", "/nowhere.parquet"), "/nowhere.parquet is no file; name an answer matrix"),
    ],
)
def test_a_wrong_command_is_told(
    arguments: tuple[str, ...],
    part: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert part in told(capsys, monkeypatch, *arguments)


def test_no_command_at_all_is_answered_with_the_help_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["testbed"])
    with pytest.raises(SystemExit) as ended:
        main()
    captured = capsys.readouterr()
    assert ended.value.code == 2
    assert "Usage" in captured.out + captured.err
    assert "testbed: \n" not in captured.err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["testbed", *command.split(), "--help"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert "Usage" in capsys.readouterr().out


def test_a_trace_is_written_line_by_line_and_a_longer_one_begins_with_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []
    for count in ("3", "6"):
        monkeypatch.setattr(sys, "argv", ["testbed", "trace", str(SMOKE), "--requests", count])
        with pytest.raises(SystemExit):
            main()
        written.append(capsys.readouterr().out.splitlines())
    assert [len(lines) for lines in written] == [4, 7]  # with the header
    assert written[1][:4] == written[0]


@pytest.mark.root
def test_without_root_a_run_is_refused_in_one_sentence(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    done = as_nobody([sys.executable, "-m", "testbed.cli", "run", str(SMOKE)], tmp_path)
    assert done.returncode == 1
    assert "root" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.root
def test_without_an_engine_a_run_is_refused_in_one_sentence_and_leaves_no_directory(tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = subprocess.run(
        [sys.executable, "-m", "testbed.cli", "run", str(SMOKE), "--out", str(out)],
        env={**os.environ, "DOCKER_HOST": f"unix://{tmp_path}/none.sock"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert "none.sock" in done.stderr or "Docker" in done.stderr
    assert "Traceback" not in done.stderr
    assert not out.exists()


OLDER_RUN = ROOT / "tests" / "data" / "run-v1"


def command(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command as a user starts it."""
    return subprocess.run(
        [sys.executable, "-m", "testbed.cli", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        errors="backslashreplace",
        timeout=120,
        check=False,
    )


ODD_NAMES = ["a tést", "a,b:c'd\"e", "[/bold] *?#%20", "line\nbreak", "x" * 255]


def test_a_run_may_be_anywhere(tmp_path: Path) -> None:
    there = tmp_path.joinpath(*ODD_NAMES)
    shutil.copytree(OLDER_RUN, there / "run")
    (tmp_path / "link").symlink_to(there)
    for path in (there / "run", tmp_path / "link" / "run"):
        reported, audited = command("report", path), command("audit", path)
        assert (reported.returncode, reported.stderr) == (0, "")
        assert f"run directory: {path}" in reported.stdout
        assert (audited.returncode, audited.stderr) == (0, "")


def test_report_and_audit_say_what_a_run_was_made_of(tmp_path: Path) -> None:
    shutil.copytree(OLDER_RUN, run := tmp_path / "run")
    manifest = json.loads((run / "manifest.json").read_text())
    model, rows = "a" * 64, "b" * 64
    manifest["files"] = [
        {"field": "tiers.cloud.model.hub", "path": "/cache/[bold]abc", "sha256": model, "revision": "abc"}
    ]
    manifest["datasets"] = [{"name": "mine", "source": {"file": "/data/mine.csv", "sha256": rows}}]
    (run / "manifest.json").write_text(json.dumps(manifest))
    RunDirectory.open(run).seal()
    reported, audited = command("report", run).stdout, command("audit", run).stdout
    assert f"tiers.cloud.model.hub │ [bold]abc     │ {model[:16]} │ abc" in reported
    assert f"task.dataset          │ mine          │ {rows[:16]} │ -" in reported
    assert f"made of tiers.cloud.model.hub: /cache/[bold]abc, SHA-256 {model}, revision abc" in audited
    assert f"made of task.dataset: mine, SHA-256 {rows}" in audited


@pytest.mark.root
def test_names_that_are_no_utf_8_are_refused_in_one_sentence_before_anything_starts(tmp_path: Path) -> None:
    """As older systems have them, and as archives are unpacked."""
    odd = Path(os.fsdecode(bytes(tmp_path) + b"/caf\xe9"))
    shutil.copytree(OLDER_RUN, odd / "run")
    shutil.copy(SCENARIOS / "smoke.yaml", odd)
    smoke = SCENARIOS / "smoke.yaml"
    cases: list[tuple[list[str | Path], str, Path]] = [
        (["report", odd / "run"], "RUN", odd / "run"),
        (["audit", odd / "run"], "RUN", odd / "run"),
        (["trace", odd / "smoke.yaml"], "SCENARIO", odd / "smoke.yaml"),
        (["run", odd / "smoke.yaml"], "SCENARIO", odd / "smoke.yaml"),
        (["run", smoke, "--out", odd / "new"], "--out", odd / "new"),
    ]
    for given, what, where in cases:
        done = command(*given)
        shown = bytes(where).decode(errors="backslashreplace")
        sentence = f"testbed: {what}: {shown} is no name in UTF-8; rename it, or name another\n"
        assert (done.returncode, done.stderr.splitlines(keepends=True)[-1:]) == (1, [sentence])
    assert not (odd / "new").exists()


def test_a_terminal_without_utf_8_gets_every_table_all_the_same() -> None:
    done = command("report", OLDER_RUN, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert "run directory: tests/data/run-v1" in done.stdout


@pytest.mark.root
def test_an_ordinary_users_cache_is_cleaned_of_machines_and_runs_are_left_to_root() -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as home:
        left = [Path(home) / name for name in ("machines/tbvm00000000", "disks/build")]
        for path in (Path(home), *(part for one in left for part in (one.parent, one))):
            path.mkdir(exist_ok=True)
            os.chown(path, 65534, 65534)
        (Path(home) / "disks" / "0123456789ab.img").touch()
        clean = ["env", f"TESTBED_CACHE={home}", sys.executable, "-m", "testbed.cli", "clean"]
        done = as_nobody(clean, Path(home))
        said = f"removed machine tbvm00000000\nremoved disks {home}/disks\n"
        assert (done.returncode, done.stdout) == (0, said), done.stderr
        assert "only root" in done.stderr
        assert list(Path(home).iterdir()) == []


def as_nobody(argv: list[str], home: Path) -> subprocess.CompletedProcess[str]:
    nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--"]
    return subprocess.run(
        [*nobody, *argv],
        env={"TESTBED_CACHE": "/var/cache/llm-testbed", **os.environ, "HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["run", "report"])
@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("fast.answered>1", "'fast.answered>1': no method 'fast' is run; there are "),
        ("recserve.answered", "'recserve.answered' is no expectation; write METHOD.KEY<NUMBER"),
    ],
)
def test_what_cannot_be_expected_is_told_before_anything_starts(name: str, text: str, sentence: str) -> None:
    done = command(name, SMOKE if name == "run" else OLDER_RUN, "--expect", text)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"testbed: Invalid value for --expect: {sentence}")


def test_a_finished_run_is_held_against_what_is_expected_of_it() -> None:
    kept = ("--expect", "recserve.answered==12", "--expect", "faithful.bytes==true")
    done = command("report", OLDER_RUN, *kept)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("as expected: recserve.answered==12, faithful.bytes==true\n")
    done = command("report", OLDER_RUN, *kept, "--expect", "recserve.answered>12")
    assert (done.returncode, done.stderr) == (1, "testbed: --expect recserve.answered>12: it is 12\n")


@pytest.mark.root
@pytest.mark.parametrize("who", ["root", "nobody"])
def test_what_a_run_would_be_is_told_with_and_without_root_and_nothing_is_made(who: str) -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as home:
        Path(home).chmod(0o755)
        out = Path(home) / "run"
        wanted = ["run", str(SMOKE), "--requests", "30", "--out", str(out), "--dry-run"]
        as_user = [sys.executable, "-m", "testbed.cli", *wanted]
        done = command(*wanted) if who == "root" else as_nobody(as_user, Path(home))
        assert (done.returncode, done.stderr) == (0, "")
        told = done.stdout
        assert told.startswith("smoke: a run would be, and nothing was started:\n")
        for words in (
            "nodes  2 × device: recorded, 0.5 CPUs, 256MiB",
            "links  2 × access: 20mbit, 10 ms",
            "methods  cloud-only, recserve",
            "requests  30 under each method, to 2 devices, open",
            "image  ",
            "disk  about 2.",
            "time  about ",
        ):
            assert words in told
        assert ("a run needs root" in told) is (who == "nobody")
        assert not out.exists()


@pytest.mark.root
def test_a_dry_run_tells_engines_batches_and_prices() -> None:
    given = [f"tiers.{tier}.price={{cpu: 0.04 $/h}}" for tier in ("device", "edge", "cloud")]
    given += ["tiers.device.batch=8", "tiers.device.wait=2ms"]
    done = command(
        "run", SCENARIOS / "engine.yaml", "--dry-run", *(part for one in given for part in ("--set", one))
    )
    assert (done.returncode, done.stderr) == (0, "")
    for words in (
        "× device: embedded/device, 0.25 CPUs, 1024MiB, batches of 8 at most after 2ms, cpu at 0.04 $/h\n",
        "1 × cloud: llama.cpp with smollm2-135m-instruct, 1 CPU, 512MiB, the engine in a container of its "
        "own; 0.1 CPU and 256MiB on top for the server, cpu at 0.04 $/h\n",
        "  smollm2-135m-instruct: ",
    ):
        assert words in done.stdout


@pytest.mark.root
@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--set", "links.core.loss=2"], "links.core.loss: 2 has no unit"),
        (["--out", "/proc/run"], "--out: /proc/run needs about"),
        (["--methods", "none"], "has no method 'none'"),
    ],
)
def test_what_would_be_refused_ends_a_dry_run_with_its_sentence_and_status_2(
    given: list[str], words: str
) -> None:
    done = command("run", SMOKE, "--dry-run", *given)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
