"""Pairs of patches in, a better network out.

`augment` makes random crops of a pair, `losses` scores responses, `sgd` makes one step on all
devices, `loop` runs the steps and calls `checkpoints`, `logs` and `validation`. `calibration` fits
the tracker's confidence to clips of `occlusion`, whose object disappears for a while.
`contact_sheet` draws what is trained on.
"""
