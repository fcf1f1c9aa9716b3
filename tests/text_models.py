"""Tiny segmenters of both layouts, with the files that lie beside them.

The tokenizer knows a few words; each has a vector, and those of a phrase are
added up. CLIPSeg's logits are the sum's product with a pixel's colours. The
LSeg-like one has four features a pixel, of every second pixel.
"""

import json
import pathlib

import numpy as np
import tokenizers
from onnx import TensorProto, helper
from onnx_models import write_model
from tokenizers import models, normalizers, pre_tokenizers, processors

FILLER, START, END, UNKNOWN = 0, 1, 2, 3
WORDS = ("red", "blue", "box", "a", "the")
VOCABULARY = {"[PAD]": FILLER, "<s>": START, "</s>": END, "[UNK]": UNKNOWN}
VOCABULARY |= {word: 4 + index for index, word in enumerate(WORDS)}

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# Height and width that photos are resized to.
CLIPSEG_SIZE, LSEG_SIZE = (24, 24), (16, 24)

_rng = np.random.default_rng(7)
# Of each token; those of the tokens around a phrase are not zero.
CLIPSEG_VECTORS = _rng.normal(0, 0.2, (len(VOCABULARY), 3)).astype(np.float32)
CLIPSEG_VECTORS[VOCABULARY["red"]] = 3, -2, -2
CLIPSEG_VECTORS[VOCABULARY["blue"]] = -2, -2, 3
LSEG_VECTORS = _rng.normal(0, 0.1, (len(VOCABULARY), 4)).astype(np.float32)
LSEG_VECTORS[VOCABULARY["red"]] = 2, -1, -1, 0.5
LSEG_MIX = np.array(
  [[2, -1, -1], [-1, 2, -1], [-1, -1, 2], [0.2, 0.1, 0.3]], np.float32
)


def write_tokenizer(path, padding=False):
  """Lower case, words and signs apart; `?` is nothing."""
  tokenizer = tokenizers.Tokenizer(models.WordLevel(VOCABULARY, "[UNK]"))
  tokenizer.normalizer = normalizers.Sequence(
    [normalizers.Lowercase(), normalizers.Replace("?", "")]
  )
  tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
  tokenizer.post_processor = processors.TemplateProcessing(
    single="<s> $A </s>", special_tokens=[("<s>", START), ("</s>", END)]
  )
  if padding:
    tokenizer.enable_padding(pad_id=END, pad_token="</s>", length=40)
  tokenizer.save(str(path))


def write_config(path, sides, **more):
  """As the hub's preprocessor_config.json has it."""
  height, width = sides
  fields = {
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": list(MEAN),
    "image_std": list(STD),
    "resample": 2,
    "rescale_factor": 1 / 255,
    "size": {"height": height, "width": width},
  }
  path.write_text(json.dumps(fields | more))


def write_clipseg(folder, name="onnx/model.onnx", flat=False, **more):
  """A folder as the hub has it; `flat` logits lack the first axis."""
  folder = pathlib.Path(folder)
  (folder / "onnx").mkdir(parents=True, exist_ok=True)
  node = helper.make_node
  height, width = CLIPSEG_SIZE
  write_model(
    folder / name,
    [
      *_add_up("vectors"),
      node("Unsqueeze", ["phrase", "space"], ["kernel"]),
      node("Mul", ["pixel_values", "kernel"], ["parts"]),
      node(
        "ReduceSum",
        ["parts", "flat" if flat else "one"],
        ["logits"],
        keepdims=0,
      ),
    ],
    [
      ("input_ids", TensorProto.INT64, ["N", "L"]),
      ("attention_mask", TensorProto.INT64, ["N", "L"]),
      ("pixel_values", TensorProto.FLOAT, ["N", 3, height, width]),
    ],
    [
      (
        "logits",
        TensorProto.FLOAT,
        [height, width] if flat else ["N", height, width],
      )
    ],
    [
      ("vectors", CLIPSEG_VECTORS),
      ("last", np.array([2])),
      ("one", np.array([1])),
      ("space", np.array([2, 3])),
      ("flat", np.array([0, 1])),
    ],
  )
  write_tokenizer(folder / "tokenizer.json")
  write_config(folder / "preprocessor_config.json", CLIPSEG_SIZE, **more)
  return folder


def write_lseg(folder, length=9, features=4):
  """A folder of the other layout; the phrase's length is fixed, or None."""
  folder = pathlib.Path(folder)
  folder.mkdir(parents=True, exist_ok=True)
  height, width = LSEG_SIZE
  write_model(
    folder / "image.onnx",
    [helper.make_node("Conv", ["pixel_values", "mix"], ["e"], strides=[2, 2])],
    [("pixel_values", TensorProto.FLOAT, [1, 3, height, width])],
    [("e", TensorProto.FLOAT, [1, features, height // 2, width // 2])],
    [("mix", LSEG_MIX[:features, :, None, None])],
  )
  sides = [1, "L" if length is None else length]
  write_model(
    folder / "text.onnx",
    _add_up("vectors"),
    [
      ("input_ids", TensorProto.INT64, sides),
      ("attention_mask", TensorProto.INT64, sides),
    ],
    [("phrase", TensorProto.FLOAT, [1, 4])],
    [
      ("vectors", LSEG_VECTORS),
      ("last", np.array([2])),
      ("one", np.array([1])),
    ],
  )
  write_tokenizer(folder / "tokenizer.json")
  write_config(folder / "preprocessor_config.json", LSEG_SIZE)
  return folder


def _add_up(vectors):
  """From tokens and their mask to `phrase`, the sum of their vectors."""
  node = helper.make_node
  return [
    node("Gather", [vectors, "input_ids"], ["found"], axis=0),
    node("Cast", ["attention_mask"], ["seen"], to=TensorProto.FLOAT),
    node("Unsqueeze", ["seen", "last"], ["weights"]),
    node("Mul", ["found", "weights"], ["counted"]),
    node("ReduceSum", ["counted", "one"], ["phrase"], keepdims=0),
  ]


def make_photo(size=(44, 60), box=(10, 30, 20, 50)):
  """A red box on blue-green grain; `box` is top, bottom, left, right."""
  rng = np.random.default_rng(3)
  image = rng.integers(40, 90, (*size, 3)).astype(np.uint8)
  image[..., 2] += 60
  top, bottom, left, right = box
  image[top:bottom, left:right] = 225, 35, 30
  return image
