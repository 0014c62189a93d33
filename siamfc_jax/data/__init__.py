"""Annotated videos in one form, whatever layout they were published in.

`sequences` has the one form, `layouts` one reader a published layout, `groundtruth` the text
files of boxes and `annotations` XML and JSON; `prepared` reads the sets that
`siamfc_jax.preparation` wrote. `patches` cuts the square around an object, `pairs` draws
training pairs.
"""
