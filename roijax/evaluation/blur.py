"""A photo whose background is blurred, for codecs that know no region.

What people do today: whatever the codec then saves in the background comes to
the region's good.
"""

import numpy as np
from scipy import ndimage

from roijax.metrics.psnr import region

# Kodak's backgrounds then have 24.7 dB outside the central ellipse: what is
# left are shapes and colours.
SIGMA = 3.0
# From the region's edge outwards the photo fades into its blurred self.
FADE = 8.0


def blur_background(
  image: np.ndarray,
  roi: np.ndarray | None,
  *,
  sigma: float = SIGMA,
  fade: float = FADE,
) -> np.ndarray:
  """Blurs what lies outside a region, with a soft edge.

  Args:
    image: uint8 [H, W, 3].
    roi: the map [H, W]; None, or an empty region, leaves all as it is.
    sigma: the Gaussian's standard deviation in pixels.
    fade: over how many pixels outside the region the blur sets in.

  Returns:
    uint8 [H, W, 3], equal to the photo inside the region.
  """
  if roi is None:
    return image
  inside = region(roi)
  if not inside.any():
    return image
  distance = ndimage.distance_transform_edt(~inside)
  sharp = np.clip(1 - np.asarray(distance, np.float32) / fade, 0, 1)[..., None]
  whole = image.astype(np.float32)
  blurred = ndimage.gaussian_filter(whole, (sigma, sigma, 0))
  mixed = sharp * whole + (1 - sharp) * blurred
  return mixed.round().clip(0, 255).astype(np.uint8)
