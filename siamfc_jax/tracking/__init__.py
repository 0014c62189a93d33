"""One frame in, one box out: the algorithm of the paper, section 3.4.

`tracker.step` is the algorithm, on a `state` that goes in and comes out. `search` crops the
frame and scores the crops, `peaks` finds the peak and moves there, `confidence` says whether
the object is lost, `redetection` searches the whole frame for a lost one, and `roi` takes the
part of a frame that a step needs. `loop` is the loop over frames, `results` what it gives.
`served` is the same loop where one process owns the device and steps the videos of many;
`exported` is the same loop for a model that `siamfc export` wrote, followed by `siamfc_onnx`: one
file that needs no JAX and nothing of this package.
"""
