"""A published data set in, a prepared one out: checked, cut to crops and stored.

`siamfc prepare` is the command. `video_sets` and `image_sets` read what was
published, `curation` checks and cuts, `shards` and `builder` store.
"""
