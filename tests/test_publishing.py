"""What goes to the hub."""

import json
import zipfile
from pathlib import Path

import pytest
import srsly
from typer.testing import CliRunner

from multiner.publishing import PublishingError, publish

from .conftest import PROJECT

META = {
    "lang": "xx",
    "name": "tiny",
    "version": "1.2.3",
    "spacy_version": ">=3.8.18,<3.9.0",
    "description": "Named entities (LOC, PER)",
    "license": "CC BY 4.0",
    "labels": {"ner": ["PER", "LOC"]},
    "sources": [{"name": "WNUT-17"}],
    "performance": {"ents_f": 0.469, "ents_p": 0.5, "ents_r": None, "test_docs": 1287, "by_language": {"en": {}}},
}


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    folder = tmp_path / "packages"
    folder.mkdir()
    with zipfile.ZipFile(folder / "xx_tiny-1.2.3-py3-none-any.whl", "w") as wheel:
        for inner in ("xx_tiny", "xx_tiny/xx_tiny-1.2.3"):
            wheel.writestr(f"{inner}/meta.json", json.dumps(META))
        wheel.writestr("xx_tiny/xx_tiny-1.2.3/config.cfg", "[nlp]\n")
        wheel.writestr("xx_tiny/xx_tiny-1.2.3/ner/config.json", "{}")
    (folder / "spacy_multiner-0.1.0-py3-none-any.whl").write_bytes(b"library")
    return folder


FILES = [
    "README.md",
    "config.cfg",
    "meta.json",
    "spacy_multiner-0.1.0-py3-none-any.whl",
    "xx_tiny-1.2.3-py3-none-any.whl",
]


class StubHub:
    """Remembers what it is asked for, as the hub would see it."""

    def __init__(self) -> None:
        self.repositories: list[tuple[str, bool]] = []
        self.files: dict[str, bytes] = {}

    def create_repo(self, repo_id: str, *, private: bool, exist_ok: bool) -> None:
        assert exist_ok
        self.repositories.append((repo_id, private))

    def upload_folder(self, *, repo_id: str, folder_path: str, commit_message: str) -> str:
        self.files = {path.name: path.read_bytes() for path in Path(folder_path).iterdir()}
        return f"{repo_id}: {commit_message}"


def run_script(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> str:
    import typer

    monkeypatch.syspath_prepend(PROJECT / "scripts")
    import publish as script

    app = typer.Typer()
    app.command()(script.main)
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    return result.output


def test_a_dry_run_writes_exactly_what_is_uploaded(packages, tmp_path, monkeypatch):
    said = run_script(monkeypatch, packages, "xx_tiny", "me/tiny", "--dry-run", tmp_path / "dry")
    assert [path.name for path in sorted((tmp_path / "dry").iterdir())] == FILES
    assert all(name in said for name in FILES)
    hub = StubHub()
    assert publish(packages, "xx_tiny", "me/tiny", hub, private=True) == "me/tiny: xx_tiny 1.2.3"
    assert hub.repositories == [("me/tiny", True)]
    assert hub.files == {path.name: path.read_bytes() for path in (tmp_path / "dry").iterdir()}


def test_the_script_uploads_and_no_token_is_written(packages, tmp_path, monkeypatch):
    hub = StubHub()
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: hub)
    monkeypatch.setenv("HF_TOKEN", "hf_not_to_be_seen")
    said = run_script(monkeypatch, packages, "xx_tiny", "me/tiny")
    assert "me/tiny: xx_tiny 1.2.3" in said
    assert sorted(hub.files) == FILES
    assert not any(b"hf_not_to_be_seen" in content for content in (said.encode(), *hub.files.values()))


def test_the_model_card_says_what_the_hub_and_people_look_for(packages):
    hub = StubHub()
    publish(packages, "xx_tiny", "me/tiny", hub)
    _, header, text = hub.files["README.md"].decode().split("---\n", 2)
    about = srsly.yaml_loads(header)
    assert (about["license"], about["language"], about["library_name"]) == ("cc-by-4.0", ["en"], "spacy")
    assert {"spacy", "token-classification"} <= set(about["tags"])
    (result,) = about["model-index"][0]["results"]
    assert {metric["type"]: metric["value"] for metric in result["metrics"]} == {"precision": 0.5, "f1": 0.469}
    assert "https://huggingface.co/me/tiny/resolve/main/xx_tiny-1.2.3-py3-none-any.whl" in text
    assert "Labels: LOC, PER. Data: WNUT-17." in text and "| F1, exact entities | 46.9 |" in text
    assert "1,287 test sentences" in text


def test_what_is_missing_or_refused_is_said_plainly(packages):
    with pytest.raises(PublishingError, match="One wheel of xx_other is wanted in .*, and there is none. Make it with"):
        publish(packages, "xx_other", "me/tiny", StubHub())

    class Refusing(StubHub):
        def create_repo(self, repo_id: str, *, private: bool, exist_ok: bool) -> None:
            raise ConnectionError("403 Forbidden.")

    with pytest.raises(
        PublishingError, match="The hub does not take me/tiny: 403 Forbidden. Log in with `hf auth login`"
    ):
        publish(packages, "xx_tiny", "me/tiny", Refusing())
