"""A pipeline by its name: found, or one sentence about what to do."""

import shutil
from pathlib import Path

import pytest
import spacy

from multiner.manifest import ModelFilesError
from multiner.pipelines import folder_of, load_pipeline


def test_a_folder_is_a_pipeline_and_so_is_an_installed_package(saved, tmp_path, monkeypatch):
    assert folder_of(str(saved)) == saved
    assert load_pipeline(str(saved)).pipe_names == ["ner"]
    monkeypatch.setattr(spacy.util, "is_package", lambda name: name == "xx_mine")
    monkeypatch.setattr(spacy.util, "get_package_path", lambda name: tmp_path / name)
    assert folder_of("xx_mine") == tmp_path / "xx_mine"


def test_what_is_no_pipeline_is_named_with_what_to_give_instead(saved):
    for name in ("nowhere", str(saved.parent)):
        for use in (folder_of, load_pipeline):
            with pytest.raises(FileNotFoundError, match=f"no pipeline '{name}' .* Give the folder that training wrote"):
                use(name)


@pytest.mark.parametrize("file", ["config.cfg", "meta.json", "tokenizer", "vocab/strings.json", "ner/manifest.json"])
def test_a_damaged_pipeline_is_said_to_be_so_whoever_wrote_the_file(saved, tmp_path, file):
    folder = Path(shutil.copytree(saved, tmp_path / "pipeline"))
    content = (folder / file).read_bytes()
    for damaged in (content[: len(content) // 2], b"\xff{"):
        (folder / file).write_bytes(damaged)
        with pytest.raises(ModelFilesError, match=f"(?s){folder}.*Copy or save the pipeline again"):
            load_pipeline(str(folder))
    if file != "config.cfg":  # without which it is no pipeline
        (folder / file).unlink()
        with pytest.raises(ModelFilesError, match=f"(?s){folder}.*Copy or save the pipeline again"):
            load_pipeline(str(folder))


def test_a_component_that_is_not_installed_is_named(saved, tmp_path):
    folder = Path(shutil.copytree(saved, tmp_path / "pipeline"))
    config = (folder / "config.cfg").read_text()
    (folder / "config.cfg").write_text(config.replace('factory = "multiner"', 'factory = "nothing_of_ours"'))
    with pytest.raises(ModelFilesError, match="(?s)nothing_of_ours.*Or install what is named there"):
        load_pipeline(str(folder))
