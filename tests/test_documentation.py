"""Every command and snippet in README and docs is executed: here, by another test, or there is a reason why not.

A block is a fenced or an indented one; of indented ones each line is a command. What is none of these fails.
"""

import ast
import importlib
import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import pytest
import spacy
import typer
from typer.main import get_command

from multiner.annotate import annotate

from .conftest import PROJECT

DOCUMENTS = sorted([PROJECT / "README.md", *(PROJECT / "docs").glob("*.md")])
PACKAGE = "xx_multiner_sample"

# Commands whose effect another test has, with the same script and options of the same names: what the line begins with.
BY_OTHER_TESTS = {
    "multiner annotate": "test_annotate.test_standard_input_and_the_words_of_the_command",
    "zcat": "test_annotate.test_standard_input_and_the_words_of_the_command",
    "multiner demo": "test_demo.test_type_see_the_entity_move_the_slider_see_it_go",
    "python scripts/convert.py": "test_project.test_from_files_to_wheels",
    "python scripts/stats.py": "test_statistics.test_the_command_prints_and_writes",
    "python scripts/train.py": "test_resuming.test_killed_at_random_moments_again_and_again",
    "python scripts/evaluate.py": "test_project.test_from_files_to_wheels",
    "python scripts/analyze.py": "test_report.test_the_command_writes_everything_and_prints_what_matters",
    ".venv/bin/python scripts/analyze.py": "test_report.test_the_command_writes_everything_and_prints_what_matters",
    "python scripts/ablate.py": "test_ablation.test_the_command_prints_the_table_and_writes_the_figures",
    "python scripts/compare.py": "test_comparison.test_the_command_compares_folders",
    "python scripts/relabel.py": "test_relabelling.test_the_command_says_what_came_back",
    "python scripts/transfer.py": "test_transfer_runs.test_the_command_plans_runs_and_writes",
    "python scripts/benchmark.py documents": "test_sentence_ends.test_documents_are_scored_in_both_ways",
    "python scripts/benchmark.py train": "test_training_speed.test_the_command_trains_both_and_writes_the_figures",
    "python scripts/benchmark.py speed": "test_prediction_speed.test_all_ways_are_measured_on_the_same_texts",
    "python scripts/quantize.py": "test_quantising.test_the_command_writes_a_pipeline_in_int8_and_says_what_it_finds",
    ".venv/bin/python scripts/trim.py": "test_trimming.test_the_command_says_what_became_smaller",
    "torchrun": "test_ranks.test_two_processes_give_losses_and_weights_of_one_with_the_doubled_batch",
    "python scripts/publish.py": "test_publishing.test_a_dry_run_writes_exactly_what_is_uploaded",
}
# Commands that no test can run, and why: what the line begins with.
NOT_RUN = {
    "make run": "it takes minutes and sets up an environment; test_project has its commands on a tiny encoder",
    "make test": "it would run this test",
    ".venv/bin/python -m spacy project run": "training takes minutes; test_project runs each command of the project",
    "python -m spacy project run": "training takes minutes; test_project runs each command of the project",
    "pip install": "it changes the environment that the tests run in; `make run` installs the wheels in a new one",
    "ray start": "it leaves services running; test_ray_engine has a cluster for the time of a test",
    "ray stop": "it would stop clusters that are not the test's",
    "words --pieces--> piece ids": "a picture of the way of the data, no command",
}


class Block(NamedTuple):
    """A piece of a document that is code."""

    place: str
    language: str
    code: str


def blocks_of(document: Path) -> Iterator[Block]:
    """Fenced blocks by their language, and each line of indented ones as a command."""
    name, fence, code, start = document.name, None, [], 0
    begins = False  # after an empty line; elsewhere an indented one goes on with the item of a list
    for number, line in enumerate(document.read_text(encoding="utf8").splitlines(), 1):
        if line.startswith("```"):
            if fence is None:
                fence, code, start = line[3:].strip(), [], number
            else:
                yield Block(f"{name}:{start}", fence, "\n".join(code) + "\n")
                fence = None
        elif fence is not None:
            code.append(line)
        elif line.startswith("    ") and begins:
            yield Block(f"{name}:{number}", "command", line.strip())
            continue
        begins = not line.strip()
    assert fence is None, f"{name}: a fence is not closed"


BLOCKS = [block for document in DOCUMENTS for block in blocks_of(document)]
COMMANDS = [block for block in BLOCKS if block.language == "command"]
# The other lines of configs, loggers, are those that test_progress trains with.
CONFIGS = [block for block in BLOCKS if block.language == "ini" and "[training.logger]" not in block.code]


def of_language(language: str) -> pytest.MarkDecorator:
    blocks = [block for block in BLOCKS if block.language == language]
    return pytest.mark.parametrize("block", blocks, ids=lambda block: block.place)


def test_there_is_a_way_to_check_every_block():
    assert {block.language for block in BLOCKS} <= {"command", "python", "json", "toml", "ini"}
    assert len(COMMANDS) > 10


@pytest.mark.parametrize("block", COMMANDS, ids=lambda block: block.place)
def test_every_command_is_run_by_a_test_or_says_why_not(block):
    by_test = [test for start, test in BY_OTHER_TESTS.items() if block.code.startswith(start)]
    reasons = [reason for start, reason in NOT_RUN.items() if block.code.startswith(start)]
    assert len(by_test) + len(reasons) == 1, f"{block.place}: is `{block.code}` run by a test? Say so, or why not."


def test_the_tables_have_nothing_that_is_not_in_the_documents():
    for start in (*BY_OTHER_TESTS, *NOT_RUN):
        assert any(block.code.startswith(start) for block in COMMANDS), start


@pytest.mark.parametrize("name", sorted(set(BY_OTHER_TESTS.values())))
def test_the_tests_that_are_named_are_there(name):
    module, function = name.split(".")
    tree = ast.parse((PROJECT / "tests" / f"{module}.py").read_text(encoding="utf8"))
    assert function in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def of_our_programs() -> list[Block]:
    return [block for block in COMMANDS if re.search(r"(^|\| )(multiner|python scripts/)", block.code)]


@pytest.mark.parametrize("block", of_our_programs(), ids=lambda block: block.place)
def test_our_programs_understand_every_option_that_documents_give_them(block, monkeypatch):
    """Whatever is run elsewhere, the very line of the document is parsed here."""
    words = shlex.split(block.code.partition("  #")[0].rpartition("| ")[2], comments=True)
    if words[0] == "multiner":
        from multiner.commands import app

        program, arguments = get_command(app), words[1:]
    else:
        monkeypatch.syspath_prepend(PROJECT / "scripts")
        script = importlib.import_module(Path(words[1]).stem)
        app = getattr(script, "app", None)
        if app is None:
            app = typer.Typer()
            app.command()(script.main)
        program, arguments = get_command(app), words[2:]
    context = program.make_context(words[0], list(arguments), resilient_parsing=False)
    if isinstance(program, click.Group):
        _, command, rest = program.resolve_command(context, [*context._protected_args, *context.args])
        command.make_context(command.name, rest, parent=context)


@of_language("python")
def test_every_snippet_runs(block, saved, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "a.txt").write_text("Ada Lovelace lives in London")
    load = spacy.load
    monkeypatch.setattr(spacy, "load", lambda name: load(saved if name == PACKAGE else name))
    real = annotate
    monkeypatch.setattr(
        "multiner.annotate.annotate", lambda model, *rest: real(str(saved) if model == PACKAGE else model, *rest)
    )
    exec(compile(block.code, block.place, "exec"), {})
    assert capsys.readouterr().out.strip()


@of_language("json")
def test_json_is_what_annotate_writes(block, saved, tmp_path):
    shown = json.loads(block.code)
    given = {name: value for name, value in shown.items() if name != "entities"}
    (tmp_path / "in.jsonl").write_text(json.dumps(given) + "\n")
    annotate(str(saved), [str(tmp_path / "in.jsonl")], tmp_path / "out")
    written = json.loads((tmp_path / "out/part-00000.jsonl").read_text())
    assert list(written) == list(shown)
    assert list(written["entities"][0]) == list(shown["entities"][0])


@of_language("toml")
def test_toml_is_a_recipe_that_can_be_read(block, tmp_path):
    from multiner.recipes import read_recipe

    assert tomllib.loads(block.code)["source"]
    (tmp_path / "recipe.toml").write_text(block.code)
    assert read_recipe(tmp_path / "recipe.toml").sources


@pytest.mark.parametrize("block", CONFIGS, ids=lambda block: block.place)
def test_configs_build_the_component(block):
    from thinc.api import Config

    whole = "[components]\n[initialize]\n[initialize.components]\n" + block.code  # as a config around it has them
    config = Config().from_str(whole, interpolate=False)
    nlp = spacy.blank("xx")
    for name, component in config["components"].items():
        nlp.add_pipe(component.pop("factory"), name=name, config=component)
    assert "ner" in nlp.pipe_names
    assert config["initialize"]["components"]["ner"]["encoder"]


def test_links_in_documents_lead_somewhere():
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#]+)\)", document.read_text(encoding="utf8")):
            if not target.startswith(("http://", "https://")):
                assert (document.parent / target).exists(), f"{document.name}: {target}"
