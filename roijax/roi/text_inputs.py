"""What segmenters are given of a phrase: tokens.

`tokenizer.json`, a file beside the model in the form that the model hub has,
says which. (What they are given of a photo: `preprocessor`.)
"""

import pathlib

import numpy as np

from roijax.errors import DataError

# What CLIP's text encoders take; a longer phrase is cut.
MAX_TOKENS = 77


class Tokenizer:
  """Makes tokens of a phrase.

  Args:
    path: a `tokenizer.json` of the tokenizers library; its normaliser and the
      tokens that it puts around a phrase are used as they are.

  Raises:
    DataError: the file is missing or damaged, or the library is missing.
  """

  def __init__(self, path: pathlib.Path):
    try:
      import tokenizers
    except ImportError as error:
      raise DataError(
        "--roi text: needs tokenizers: pip install 'roijax[text]'"
      ) from error
    self._path = path
    try:
      self._tokenizer = tokenizers.Tokenizer.from_file(str(path))
    # The library raises plain exceptions.
    except Exception as error:
      raise DataError(f"{path} is no tokenizer: {error}") from error
    self._filler = (self._tokenizer.padding or {}).get("pad_id", 0)
    self._tokenizer.no_padding()

  def __call__(
    self, phrase: str, length: int | None = None
  ) -> tuple[np.ndarray, np.ndarray]:
    """Tokenises a phrase.

    Args:
      phrase: of as many words as you like; beyond `MAX_TOKENS` they are cut.
      length: of the result, where the model takes one only: the rest is
        filled with the tokenizer's padding token, or with 0.

    Returns:
      The tokens and their attention mask (1, and 0 where filled), int64 [1, L].

    Raises:
      DataError: the tokenizer knows nothing in the phrase, or fails on it.
    """
    most = MAX_TOKENS if length is None else min(MAX_TOKENS, length)
    self._tokenizer.enable_truncation(most)
    try:
      found = self._tokenizer.encode(phrase)
    except Exception as error:
      raise DataError(
        f"{self._path} cannot read {phrase!r}: {error}"
      ) from error
    if all(found.special_tokens_mask):
      raise DataError(f"{self._path} knows no word of {phrase!r}")
    total = len(found.ids) if length is None else length
    ids = np.full((1, total), self._filler, np.int64)
    mask = np.zeros((1, total), np.int64)
    ids[0, : len(found.ids)] = found.ids
    mask[0, : len(found.ids)] = 1
    return ids, mask
