"""One frame in, one box out: the algorithm of the paper, section 3.4.

`tracker.step` is the algorithm; `search` cuts and scores the search images, `peaks` finds
the peak and moves there, `confidence` says whether the object is lost, `redetection` looks
for a lost one, `roi` takes the part of a frame that a step needs. `loop` is the loop over
frames.
"""
