"""Tiny training sets in the layouts in which they are published, flaws included."""

import json

import cv2
import numpy as np

WIDTH, HEIGHT = 64, 48


def write_image(path, *, shade=0, width=WIDTH, height=HEIGHT):
    """Writes a smooth picture, a different one for each shade."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows, columns = np.mgrid[:height, :width]
    image = np.stack([rows * 3 + shade, columns * 2, rows + columns + shade], -1) % 256
    assert cv2.imwrite(str(path), image.astype(np.uint8))
    return path


def cut_short(path):
    """Leaves out the end of a file, as a broken download does."""
    path.write_bytes(path.read_bytes()[:-20])


def write_text(path, *lines, end="\n"):
    """Writes lines with the given line end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(line + end for line in lines).encode())


def xml_object(name, corners, *, track=None, occluded=0, generated=0):
    """Returns an <object> element; corners are xmin, ymin, xmax, ymax."""
    x0, y0, x1, y1 = corners
    number = "" if track is None else f"<trackid>{track}</trackid>"
    return (
        f"<object>{number}<name>{name}</name><bndbox><xmax>{x1}</xmax><xmin>{x0}</xmin>"
        f"<ymax>{y1}</ymax><ymin>{y0}</ymin></bndbox><occluded>{occluded}</occluded>"
        f"<generated>{generated}</generated></object>"
    )


def make_vid(root, *, frames=6):
    """Makes ImageNet VID: a train snippet of two objects, one with broken XML, a val snippet."""
    snippet = "ILSVRC2015_VID_train_0000/ILSVRC2015_train_00000003"
    for frame in range(frames):
        first = xml_object(
            "n02084071", (8 + frame, 6, 27 + frame, 21), track=0, occluded=int(frame == 1)
        )
        second = xml_object("n02121808", (30, 20, 45, 39), track=1, generated=frame % 2)
        _vid_frame(root, "train", snippet, frame, first + (second if 2 <= frame < 5 else ""))
    images = root / "Data/VID/train" / snippet
    (images / "000004.JPEG").unlink()
    cut_short(images / "000005.JPEG")
    huge = xml_object("n02084071", (0, 0, WIDTH - 1, HEIGHT - 1), track=0)
    _vid_frame(root, "train", snippet, frames, huge)
    broken = "ILSVRC2015_VID_train_0001/ILSVRC2015_train_00400000"
    _vid_frame(root, "train", broken, 0, "<object>")
    dog = xml_object("n02084071", (8, 6, 27, 21), track=0)
    _vid_frame(root, "val", "ILSVRC2015_val_00000000", 0, dog)
    return root


def _vid_frame(root, split, snippet, frame, objects):
    write_text(
        root / "Annotations/VID" / split / snippet / f"{frame:06d}.xml",
        "<annotation>",
        f"<filename>{frame:06d}</filename>{objects}",
        "</annotation>",
        end="\r\n",
    )
    write_image(root / "Data/VID" / split / snippet / f"{frame:06d}.JPEG", shade=20 * frame)


def make_coco(root):
    """Makes COCO: two good objects in one image, one of each flaw in the others."""
    boxes = [
        (1, 7, [10, 8, 20, 16], 0),
        (2, 7, [30.5, 20.25, 8, 12], 0),
        (3, 7, [0, 0, 64, 48], 1),  # a crowd
        (4, 9, [1, 1, 3, 30], 0),  # too small
        (5, 9, [70, 10, 9, 9], 0),  # outside
        (6, 11, [5, 5, 20, 20], 0),  # its image is missing
    ]
    content = {
        "info": {"year": 2017},
        "images": [
            {"id": number, "file_name": f"{number:012d}.jpg", "width": WIDTH, "height": HEIGHT}
            for number in (11, 9, 7, 5)
        ],
        "annotations": [
            {"id": number, "image_id": image, "bbox": box, "category_id": 18, "iscrowd": crowd}
            for number, image, box, crowd in boxes
        ],
        "categories": [{"id": 18, "name": "dog"}],
    }
    write_text(root / "annotations/instances_train2017.json", json.dumps(content))
    for number in (5, 7, 9):
        write_image(root / f"train2017/{number:012d}.jpg", shade=number)
    return root


def make_voc(root):
    """Makes Pascal VOC: one image listed, with two objects and a part; one not listed."""
    head = xml_object("head", (12, 8, 18, 14))
    person = xml_object("person", (11, 7, 30, 36), occluded=1)
    person = person.replace("</object>", f"<part>{head}</part></object>")
    dog = xml_object("dog", ("33.5", "20.25", "52.5", "39.25"))
    for name, objects in (("2012_000001", person + dog), ("2012_000002", dog)):
        path = root / f"Annotations/{name}.xml"
        write_text(path, f"<annotation>{objects}</annotation>")
        write_image(root / f"JPEGImages/{name}.jpg")
    write_text(root / "ImageSets/Main/trainval.txt", "2012_000001  1", "", end="\r\n")
    return root


def make_got10k(folder, name, boxes, **labels):
    """Makes one video in the GOT-10k layout; labels become `NAME.label` files."""
    lines = (",".join(f"{value:.4f}" for value in box) for box in boxes)
    write_text(folder / name / "groundtruth.txt", *lines)
    for frame in range(len(boxes)):
        write_image(folder / name / f"{frame + 1:08d}.jpg", shade=10 * frame)
    for label, values in labels.items():
        write_text(folder / name / f"{label}.label", *map(str, values))
    with (folder / "list.txt").open("a", newline="") as listing:
        listing.write(f"{name}\r\n")
    return folder / name
