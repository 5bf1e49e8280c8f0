"""Trained pipelines as people name them: by a folder, or by the name of an installed package."""

from pathlib import Path

import spacy
from spacy.language import Language

from .errors import UserError
from .manifest import REMEDY, ModelFilesError


def folder_of(model: str) -> Path:
    """The folder of a pipeline.

    model (str): A folder, or the name of an installed package, which comes first, as in `spacy.load`.
    RAISES: FileNotFoundError.
    """
    if spacy.util.is_package(model):
        return Path(spacy.util.get_package_path(model))
    if not (Path(model) / "config.cfg").is_file():
        raise FileNotFoundError(
            f"There is no pipeline '{model}' that can be loaded: it is neither a folder with a config.cfg nor an "
            "installed package. Give the folder that training wrote, such as training/sample/model-best, or install it."
        )
    return Path(model)


def load_pipeline(model: str) -> Language:
    """Load a pipeline.

    model (str): A folder, or the name of an installed package.
    RAISES: FileNotFoundError when it is not there; ModelFilesError when it is damaged, or needs what is not installed.
    """
    folder = folder_of(model)
    try:
        return spacy.load(model)
    except UserError:
        raise
    except (OSError, ValueError) as error:  # whichever spaCy happens to meet in a file that is gone or damaged
        raise ModelFilesError(
            f"The pipeline in {folder} cannot be loaded: {error}\n{REMEDY} Or install what is named there."
        ) from error
