"""Several codecs on one photo at equal bytes, to be looked at side by side.

`coding` brings them there, `columns` is what it found, `crops` chooses what is
enlarged, `png` draws a picture, `html` a page of the style in `page`.
"""
