"""Measures of a coded photo, in NumPy on 8-bit arrays.

`psnr` (whole, region of interest, background, weighted), `ms_ssim`, and
`bd_rate` for the distance between two rate-distortion curves.
"""
