"""`testbed serve` and `testbed shell` as a user has them: containers, links, a browser, and nothing left."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from testbed.scenario.scenario import load_scenario
from tests import ROOT
from tests.chromium import Tab, tab
from tests.e2e.runs import (
    COMMAND,
    RUN_TIMEOUT_S,
    SMOKE,
    check_bytes,
    read,
    rest_of_output,
    run_command,
    running_command,
    wait_for,
    wait_until_nothing_is_left,
)

pytestmark = pytest.mark.docker
PROMPTS = ["a film of no great length", "another, and a better one", "the last <b>of</b> them"]
MODELS = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8000/v1/models').read().decode())"
SHELL = f"""
nodes
net
dump
links
device1 ping -c1 edge1
device1 ping -c1 -W1 cloud1
iperf device1 edge1
device1 {sys.executable} -c "{MODELS}"
nobody ping device1
exit
never read
"""


def post(url: str, prompt: str) -> dict[str, Any]:
    """A chat request as any client of the API sends it."""
    body = json.dumps({"model": "tier", "messages": [{"role": "user", "content": prompt}]}).encode()
    request = urllib.request.Request(f"{url}/v1/chat/completions", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


async def ask_on_page(page: Tab, prompt: str) -> None:
    await page.evaluate(
        f"(() => {{ at('prompt').value = {json.dumps(prompt)}; at('ask').requestSubmit(); return 0; }})()"
    )
    await page.wait_for("!at('send').disabled && !at('result').hidden")


async def look(url: str) -> list[str]:
    """Ask on the page, and check what it shows of it."""
    async with tab(f"{url}/") as page:
        await page.wait_for("document.querySelectorAll('#links tbody tr').length == 3")
        assert "recserve, β 0.3" in await page.evaluate("at('about').textContent")
        assert not await page.evaluate("at('ask').reportValidity()")  # an empty prompt is refused aloud
        for prompt in PROMPTS:
            await ask_on_page(page, prompt)
            assert await page.evaluate("at('ended').textContent") == "Answer"
            assert await page.evaluate("at('answer').textContent") in ("negative", "positive")
            way = await page.evaluate(
                "fetch('ways/' + at('requests').rows[1].cells[0].textContent).then(a => a.json())"
            )
            shown = await page.evaluate("at('way').innerText")
            for step in way["nodes"]:
                assert f"confidence {step['confidence']:.4f}" in shown
            for hop in way["hops"]:
                assert hop["others"] == 0
                assert f"→ {hop['up_bytes']:,} B" in shown
                assert f"← {hop['down_bytes']:,} B" in shown
        assert await page.evaluate("document.querySelectorAll('#requests b').length") == 0
        return page.complaints


def test_a_network_is_served_looked_at_recorded_and_gone(tmp_path: Path) -> None:
    out = tmp_path / "record"
    with running_command("serve", str(SMOKE), "--record", "--out", str(out)) as process:
        (url,) = set(re.findall(r"http://127.0.0.1:\d+", wait_for(process, "can be asked at")))
        first = post(url, PROMPTS[0])
        assert first["recserve"]["path"][0]["node"] == "device1"
        assert asyncio.run(look(url)) == []
        refused = run_command("serve", str(SMOKE))
        process.send_signal(signal.SIGTERM)
        told = rest_of_output(process)
        assert process.wait(60) == 0, told
    assert "Traceback" not in told
    assert refused.returncode == 1
    assert "another run (" in refused.stderr
    assert f"kill {process.pid}" in refused.stderr
    assert wait_until_nothing_is_left() == []
    check_record(out)


def check_record(out: Path) -> None:
    """A record is a run directory whose bytes and decisions hold, and whose quality nobody knows."""
    requests = read(out, "requests.parquet")
    assert [row["outcome"] for row in requests] == ["answered"] * 4
    assert sum(row["prompt_bytes"] for row in check_bytes(out)) == sum(
        row["prompt_bytes"] * len(row["hops"]) for row in requests
    )
    fidelity = read(out, "fidelity.json")
    assert fidelity["reasons"]["bytes"] == fidelity["reasons"]["decisions"] == []
    assert fidelity["reasons"]["quality"] == [
        "recserve: 4 answers have no score: whoever asked did not say what a right answer is"
    ]
    assert fidelity["faithful"]["latency"] is False
    assert read(out, "summary.json")["methods"]["recserve"]["accuracy"] is None
    assert read(out, "manifest.json")["made_by"] == "serve"
    for arguments in (["report", "--page"], ["audit", "--wire"], ["packets"]):
        rest = ["recserve", "device1-edge1"] if arguments == ["packets"] else []
        done = run_command(*arguments, str(out), *rest)
        assert done.returncode == 0, done.stderr
    assert load_scenario(out).name == "smoke"


def test_mininets_prompt_reads_a_script_and_nothing_stays(tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "shell", str(SMOKE)],
        cwd=ROOT, input=SHELL, capture_output=True, text=True, timeout=RUN_TIMEOUT_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "cloud1 device1 device2 edge1" in done.stdout
    assert "device1 eth0:" in done.stdout
    assert "(OK OK)" in done.stdout
    assert "1 packets transmitted, 1 received" in done.stdout
    assert "Network is unreachable" in done.stdout  # there is no route past a tier
    assert "edge1 iperf -s &\ndevice1 iperf -t 5 -c edge1\n" in done.stdout  # Mininet's own would not end
    assert '"object":"list"' in done.stdout
    assert "Unknown command: nobody" in done.stdout
    assert "never" not in done.stdout
    assert wait_until_nothing_is_left() == []
