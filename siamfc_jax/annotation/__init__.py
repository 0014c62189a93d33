"""Key boxes of people in, boxes of every frame out.

`job` holds what a person drew: boxes of objects in some frames, and where objects end.
`places` tracks objects that come and go without a recompilation, `passes` runs through a video
forward and backward, `blend` joins both directions between two key boxes, and `annotator` runs
a whole job. `formats` writes its rows, of `tracks` where a form wants objects as a whole: `cvat`,
`coco`, `label_studio`, `yolo`. `key_files` reads what a person drew.
"""
