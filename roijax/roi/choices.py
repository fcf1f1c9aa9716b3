"""What a user sets beside `--roi`, for sources that need more than a spec."""

import dataclasses
from collections.abc import Sequence

from roijax.errors import DataError


@dataclasses.dataclass(frozen=True)
class Choices:
  """What the sources that measure similarity go by.

  Attributes:
    threshold: from which similarity on a pixel is inside, in (0, 1), for
      `text:`, `sim:`, `saliency:` and `auto`; None for each source's own.
    text_model: the segmenter of `text:`, a folder or a name on the hub; None
      for the default one, in the hub's cache.
    annotations: a COCO annotations file whose categories `text:` names, in
      place of a segmenter.

  Raises:
    DataError: the threshold is out of range, or `text:` would have both a
      segmenter and annotations.
  """

  threshold: float | None = None
  text_model: str | None = None
  annotations: str | None = None

  def __post_init__(self):
    if self.threshold is not None and not 0 < self.threshold < 1:
      raise DataError(
        f"--roi-threshold {self.threshold:g}: the similarity from which a pixel"
        " is inside lies between 0 and 1, for example 0.5"
      )
    if self.text_model is not None and self.annotations is not None:
      raise DataError(
        "--text-model and --annotations both say where --roi text: looks: give"
        " one"
      )

  def check(self, specs: Sequence[str]) -> None:
    """Refuses what none of the specs would use, before any work.

    Args:
      specs: as `roijax.roi.spec.unite` takes them.

    Raises:
      DataError: a choice is of no use.
    """
    kinds = {spec.partition(":")[0] for spec in specs if ":" in spec}
    for name, choice in {
      "--text-model": self.text_model,
      "--annotations": self.annotations,
    }.items():
      if choice is not None and "text" not in kinds:
        raise DataError(
          f'{name} is for --roi "text:PHRASE", which is not given'
        )
    cut = {"sim", "saliency", *({"text"} if self.annotations is None else ())}
    if self.threshold is not None and not kinds & cut and "auto" not in specs:
      raise DataError(
        "--roi-threshold cuts the maps of --roi text:PHRASE (without"
        " --annotations), sim:MAP.png, saliency:MODEL.onnx and auto: none of"
        " them is given"
      )


NO_CHOICES = Choices()
"""Everything at its default."""
