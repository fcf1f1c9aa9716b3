"""Where the segmenters of `text:` lie: a folder, or the model hub's cache.

Nothing is downloaded here. What is missing is told with the command that
downloads it.
"""

import pathlib
import re
from typing import NamedTuple

from roijax.errors import DataError

DEFAULT = "Xenova/clipseg-rd64-refined"
"""CLIPSeg (Lueddecke and Ecker, CVPR 2022) in ONNX form, on the model hub."""

# What is needed of it, and of others of its kind.
FILES = ("onnx/model.onnx", "tokenizer.json", "preprocessor_config.json")
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)


class Place(NamedTuple):
  """A folder with a segmenter's files, and how to get those it lacks."""

  folder: pathlib.Path
  advice: str


def find_model(given: str | None = None) -> Place:
  """Finds a segmenter's folder.

  Args:
    given: a folder, or a name on the hub whose files are in the hub's cache;
      None for `DEFAULT`.

  Raises:
    DataError: neither, not in the cache, or huggingface_hub is missing.
  """
  if given is not None and pathlib.Path(given).is_dir():
    return Place(pathlib.Path(given), "docs/text.md says what it must hold")
  name = DEFAULT if given is None else given
  if not _HUB_NAME.fullmatch(name):
    raise DataError(
      f"no folder {name}: --text-model takes one that holds a segmenter"
      f" (docs/text.md), or a name on the model hub, such as {DEFAULT}"
    )
  missing = f"neither a folder nor in the model hub's cache is {name}"
  if given is None:
    missing = f"--roi text: needs the segmenter {name}, which is not here"
  advice = (
    f"download it by `hf download {name} {' '.join(FILES)}`, or put these files"
    " into a folder FOLDER and give --text-model FOLDER"
  )
  try:
    import huggingface_hub
  except ImportError as error:
    raise DataError(
      "--roi text: needs huggingface_hub: pip install 'roijax[text]'"
    ) from error
  try:
    folder = huggingface_hub.snapshot_download(name, local_files_only=True)
  # Its errors are of several kinds, all of them OSError or ValueError.
  except (OSError, ValueError) as error:
    raise DataError(f"{missing}: {advice}") from error
  return Place(pathlib.Path(folder), advice)
