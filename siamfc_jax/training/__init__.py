"""A sample in, a better network out.

`augment` makes crops of a pair, `losses` score responses, `sgd` is one step on all devices,
`loop` a run with its checkpoints, logs and validation. `calibration` fits the tracker's
confidence to clips of `occlusion`, whose object disappears; `contact_sheet`
shows what is trained on.
"""
