"""Photos as numbers and phrases as tokens, against plain NumPy and Python."""

import json

import numpy as np
import numpy_segmenter as reference
import pytest
import text_models as tiny

from roijax.errors import DataError
from roijax.roi.preprocessor import Preprocessor
from roijax.roi.text_inputs import MAX_TOKENS, Tokenizer

SIZES = [(44, 60), (24, 24), (9, 70), (100, 31), (1, 1)]


def grain(size):
  return np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("square", [(24, 24), (16, 40)], ids=str)
def test_photos_are_prepared_as_in_numpy(tmp_path, size, square):
  path = tmp_path / "preprocessor_config.json"
  tiny.write_config(path, square)
  image = grain(size)
  prepared = Preprocessor(path)(image)
  assert prepared.dtype == np.float32
  assert prepared.shape == (1, 3, *square)
  reference.assert_one(
    prepared[0], lambda axes: reference.preprocess(image, square, axes), 1e-5
  )


def test_the_config_says_how_photos_are_prepared(tmp_path):
  path = tmp_path / "preprocessor_config.json"
  image = grain((20, 20))
  tiny.write_config(path, (20, 20), size=20)
  usual = Preprocessor(path)(image)[0]
  np.testing.assert_allclose(
    usual.transpose(1, 2, 0) * tiny.STD + tiny.MEAN, image / 255, atol=1e-5
  )
  fields = json.loads(path.read_text())
  del fields["resample"], fields["rescale_factor"]
  path.write_text(json.dumps(fields))
  np.testing.assert_array_equal(Preprocessor(path)(image)[0], usual)
  tiny.write_config(path, (20, 20), do_normalize=False, rescale_factor=0.5)
  np.testing.assert_allclose(
    Preprocessor(path)(image)[0], image.transpose(2, 0, 1) / 2
  )
  tiny.write_config(path, (20, 20), do_normalize=False, do_rescale=False)
  np.testing.assert_array_equal(
    Preprocessor(path)(image)[0], image.transpose(2, 0, 1)
  )
  tiny.write_config(path, (10, 10), resample=4, do_normalize=False)
  boxes = image.reshape(10, 2, 10, 2, 3).mean((1, 3)) / 255
  np.testing.assert_allclose(
    Preprocessor(path)(image)[0], boxes.transpose(2, 0, 1), atol=1 / 255
  )


def test_a_grey_photo_is_prepared_as_three_equal_channels(tmp_path):
  path = tmp_path / "preprocessor_config.json"
  tiny.write_config(path, (24, 24))
  grey = grain((30, 50))[..., 0]
  colour = np.repeat(grey[..., None], 3, 2)
  np.testing.assert_array_equal(
    Preprocessor(path)(grey), Preprocessor(path)(colour)
  )


@pytest.mark.parametrize(
  ("content", "words"),
  [
    ("{", "is not JSON"),
    ("[]", "holds no object"),
    ({"size": {"shortest_edge": 224}}, 'size is {"shortest_edge": 224}'),
    ({"size": 0}, "size is 0"),
    ({"size": True}, "size is true"),
    ({"size": 22.5}, "size is 22.5"),
    ({"do_center_crop": True}, "do_center_crop: true"),
    ({"do_resize": False}, "do_resize: false"),
    ({"do_pad": True}, "do_pad: true"),
    ({"resample": 9}, "resample is 9"),
    ({"image_mean": [0.5, 0.5]}, "image_mean is .* must be 3 numbers"),
    ({"image_mean": None}, "image_mean is null"),
    ({"image_std": [1, 1, 0]}, "cannot be 0"),
    ({"image_std": [1, 1, "1"]}, "image_std is"),
    ({"rescale_factor": "1/255"}, "must be a number"),
  ],
)
def test_a_config_that_cannot_be_meant_is_one_line(tmp_path, content, words):
  path = tmp_path / "preprocessor_config.json"
  if isinstance(content, str):
    path.write_text(content)
  else:
    tiny.write_config(path, (24, 24), **content)
  with pytest.raises(DataError, match=words) as info:
    Preprocessor(path)
  assert "\n" not in str(info.value)


@pytest.mark.parametrize(
  "phrase", ["a red box", "The BLUE box", "zebra", "red " * 100], ids=len
)
def test_phrases_become_tokens_as_in_plain_python(tmp_path, phrase):
  path = tmp_path / "tokenizer.json"
  tiny.write_tokenizer(path)
  tokenizer = Tokenizer(path)
  expected = reference.tokenize(phrase, MAX_TOKENS)
  ids, mask = tokenizer(phrase)
  assert ids.dtype == mask.dtype == np.int64
  assert ids.tolist() == [expected]
  assert mask.tolist() == [[1] * len(expected)]
  for length in (8, 90):
    kept = reference.tokenize(phrase, min(length, MAX_TOKENS))
    rest = length - len(kept)
    ids, mask = tokenizer(phrase, length)
    assert ids.tolist() == [kept + [tiny.FILLER] * rest]
    assert mask.tolist() == [[1] * len(kept) + [0] * rest]


def test_a_tokenizer_s_own_padding_only_gives_the_token(tmp_path):
  path = tmp_path / "tokenizer.json"
  tiny.write_tokenizer(path, padding=True)
  expected = reference.tokenize("red")
  assert Tokenizer(path)("red")[0].tolist() == [expected]
  padded = Tokenizer(path)("red", 5)[0].tolist()
  assert padded == [[*expected, tiny.END, tiny.END]]


def test_a_phrase_that_leaves_no_token_is_told(tmp_path):
  path = tmp_path / "tokenizer.json"
  tiny.write_tokenizer(path)
  with pytest.raises(DataError, match=r"knows no word of '\?'"):
    Tokenizer(path)("?")
  path.write_text("{}")
  with pytest.raises(DataError, match="is no tokenizer: "):
    Tokenizer(path)
