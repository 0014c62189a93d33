"""Annotated videos in one form, whatever layout they were published in.

`sequences` has the one form and its readers, `groundtruth` the text files of boxes,
`prepared` the sets that `siamfc_jax.preparation` wrote; `pairs` draws training pairs from them.
"""
