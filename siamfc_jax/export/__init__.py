"""A trained model as files for other programs: ONNX, StableHLO and a manifest.

`onnx_graphs` writes the network and the search for the peak as ONNX, `stablehlo` writes
`tracker.init` and `tracker.step` as compiled by JAX, `checks` compares both with the live
model. `siamfc export` does all three. The trackers for Python (`tracking/siamfc_onnx.py`), C++
and the browser (`runtimes/`) read these files and need no JAX.
"""
