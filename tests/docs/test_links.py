"""Every link and picture of the documents leads to something, and one that does not is noticed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests import ROOT
from tests.docs.links import broken, links, unanswered
from tests.docs.pages import PAGES


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading_that_exist(page: Path) -> None:
    assert broken(page) == []


def test_pages_with_pictures_have_them_looked_for() -> None:
    assert "docs/pictures/network.svg" in links(ROOT / "README.md")
    assert "pictures/network.svg" in links(ROOT / "docs" / "index.md")


SMALL = """\
# A page of `its` own

[here](#a-page-of-its-own) [there](other.md#more) [outside](https://example.org/none)
<img src="there.svg" width="50%"> ![again](there.svg "a title") `[code](none.md)`

```sh
# no heading
echo "[code](none.md)"
```
"""


@pytest.mark.parametrize(
    ("added", "said"),
    [
        ("", []),
        ("[x](none.md)", ["none.md leads nowhere"]),
        ("[x](other.md#less)", ["other.md#less: no such heading"]),
        ("[x](#no-heading)", ["#no-heading: no such heading"]),
        ('[x](none.md "a title")', ["none.md leads nowhere"]),
        ("![x](none.png)", ["none.png leads nowhere"]),
        ('<img width="9%" src="none.svg" alt="x">', ["none.svg leads nowhere"]),
        ('<a href="other.md#less">x</a>', ["other.md#less: no such heading"]),
    ],
)
def test_a_link_that_leads_nowhere_is_found(tmp_path: Path, added: str, said: list[str]) -> None:
    (tmp_path / "other.md").write_text("## More\n")
    (tmp_path / "there.svg").touch()
    page = tmp_path / "page.md"
    page.write_text(SMALL + added)
    assert broken(page) == said


class Answers(BaseHTTPRequestHandler):
    """``/none`` is not there."""

    def do_GET(self) -> None:
        self.send_response(404 if self.path == "/none" else 200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def address() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_an_address_that_does_not_answer_is_found_when_asked_for(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    page = tmp_path / "page.md"
    page.write_text(f"[a]({address}/) [b]({address}/none)")
    (said,) = unanswered([page])
    assert said == f"{address}/none: HTTP Error 404: Not Found"
