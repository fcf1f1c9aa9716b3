"""Which category of an annotations file a phrase names."""

import difflib
from collections.abc import Iterator, Sequence

# Words before a name that change nothing.
ARTICLES = ("a", "an", "the", "some", "all", "any", "every", "each")
# Other words for names of COCO's, and short ones for its long ones. A word
# that means more or less than the category ("man", "puppy", "bag") is none.
SYNONYMS = {
  "aeroplane": "airplane",
  "automobile": "car",
  "ball": "sports ball",
  "bike": "bicycle",
  "cellphone": "cell phone",
  "cycle": "bicycle",
  "doughnut": "donut",
  "fridge": "refrigerator",
  "hair dryer": "hair drier",
  "hairdryer": "hair drier",
  "hotdog": "hot dog",
  "houseplant": "potted plant",
  "human": "person",
  "human being": "person",
  "hydrant": "fire hydrant",
  "lorry": "truck",
  "mobile phone": "cell phone",
  "motorbike": "motorcycle",
  "notebook computer": "laptop",
  "parking metre": "parking meter",
  "phone": "cell phone",
  "plane": "airplane",
  "plant": "potted plant",
  "racket": "tennis racket",
  "remote control": "remote",
  "rucksack": "backpack",
  "smartphone": "cell phone",
  "sofa": "couch",
  "table": "dining table",
  "teddy": "teddy bear",
  "television": "tv",
  "tv set": "tv",
  "wineglass": "wine glass",
}
# Plurals that no rule gives.
PLURALS = {"people": "person", "mice": "mouse"}
# Plural endings, longest first, and what they stand for.
ENDINGS = (("ves", "fe"), ("ves", "f"), ("ies", "y"), ("es", ""), ("s", ""))


def find_category(phrase: str, names: Sequence[str]) -> str | None:
  """Finds the category that a phrase means.

  Articles, capitals and the plural change nothing; `SYNONYMS` are known.

  Args:
    phrase: such as "the dogs" or "bike".
    names: the categories.

  Returns:
    One of `names`, or None.
  """
  known = {name.lower(): name for name in reversed(names)}
  for reading in _list_readings(phrase):
    found = reading if reading in known else SYNONYMS.get(reading)
    if found in known:
      return known[found]
  return None


def list_nearest(phrase: str, names: Sequence[str]) -> list[str]:
  """The three names that are spelled most like a phrase, the nearest first."""
  known = {name.lower(): name for name in reversed(names)}
  word = next(_list_readings(phrase))
  return [known[n] for n in difflib.get_close_matches(word, known, 3, 0.0)]


def _list_readings(phrase: str) -> Iterator[str]:
  """The phrase without articles, then what it may be the plural of.

  Last its own plural: some names are plurals, such as "skis".
  """
  words = phrase.lower().split()
  while len(words) > 1 and words[0] in ARTICLES:
    words = words[1:]
  *before, last = words
  yield " ".join(words)
  singulars = [PLURALS[last]] if last in PLURALS else []
  singulars += [
    last.removesuffix(ending) + single
    for ending, single in ENDINGS
    if last.endswith(ending) and last != ending
  ]
  for other in (*singulars, last + "s"):
    yield " ".join([*before, other])
