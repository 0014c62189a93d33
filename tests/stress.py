"""Attacks all readers and writers with damaged, hostile and huge input, and counts what breaks.

    python tests/stress.py --minutes 10 --seed 0
    python tests/stress.py --only video --seed 0 --from 17 --count 1

Every input is made from the attack's name, the seed and a number, so the second command repeats
one of them. The inputs go to workers, processes of their own: one that dies, takes over
SECONDS or grows by over MEMORY is a break of its input and is started anew. What may come out:
the right thing, or an error that a command says in one line. What breaks is listed at the end,
and the exit code is then 1. `make stress` is the first command.
"""

import argparse
import concurrent.futures
import importlib.util
import itertools
import json
import os
import pathlib
import random
import re
import selectors
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections import Counter
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests/made"), str(ROOT / "tests/network")]

SECONDS = 60  # an input may take, also on a machine that does other work
MEMORY = 512  # MiB an input may take beyond what its worker had
# How many inputs of each kind go together, by the time that they take.
TURNS = {"text": 120, "box": 60, "video": 3, "weights": 12, "model": 8, "checkpoint": 2,
         "prepared": 8, "page": 20, "kill": 1, "bomb": 6}  # fmt: skip
TOKENS = [
    b"nan", b"-inf", b"1e400", b"-1", b"0", b"9" * 400, b"1e-38", b"1e38", b"\x00", b"\xff\xfe",
    b"[" * 9999, b"\xed\xa0\x80", b"\\ud800", b'"', b",", b"\n", b"\r", b"{", b"}", b"<a>", b"</",
    b"&x;", b"1_0", b"true", b"\xd9\xa3", b"\xe2\x80\xa8", b"1.5.2", b"null", b"x" * 200_000,
    b"../../x", b"\xef\xbb\xbf", b" " * 9999,
]  # fmt: skip


class Attack(NamedTuple):
    """A kind of input.

    Attributes:
      prepare: makes what is to be damaged, once a worker: folder -> anything.
      strike: (what `prepare` gave, random numbers, empty folder) -> what came of it: "worked",
        or "told" for a result that says what is missing. It raises `WrongError` for a wrong one.
    """

    prepare: object
    strike: object


class WrongError(Exception):
    """A result that is wrong, and nothing says so."""


def damage(data: bytes, rng: random.Random, tokens=()) -> bytes:
    """Returns bytes with one to three flaws."""
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3))):
        at, other = sorted(rng.randrange(len(data) + 1) for _ in "ab")
        piece = slice(at, min(other, at + rng.choice((1, 4, 60, 4000))))
        flaw = rng.randrange(7 if tokens else 6)
        if flaw == 0 and data:
            data[at - 1] ^= 1 << rng.randrange(8)
        elif flaw == 1:
            del data[other:]
        elif flaw == 2:
            del data[piece]
        elif flaw == 3:
            data[at:at] = data[piece]
        elif flaw == 4:
            data[piece] = rng.randbytes(piece.stop - piece.start)
        elif flaw == 5:
            data[piece] = bytes(piece.stop - piece.start)
        else:
            data[at : rng.choice((at, piece.stop))] = rng.choice(tokens)
    return bytes(data)


def damage_folder(source, target, rng):
    """Copies a folder and damages one of its files; larger files are hit more often."""
    shutil.copytree(source, target, dirs_exist_ok=True)
    files = sorted(path for path in target.rglob("*") if path.is_file())
    path = rng.choices(files, [path.stat().st_size + 200 for path in files])[0]
    if rng.random() < 0.05:
        path.unlink()
    else:
        path.write_bytes(damage(path.read_bytes(), rng))


def prepare_text(folder):
    """Returns [(file name, content, reader)] of all text forms."""
    import numpy as np

    from siamfc_jax.annotation import coco, cvat, key_files, label_studio
    from siamfc_jax.annotation.tracks import Clip, Mark, Track
    from siamfc_jax.app import projects
    from siamfc_jax.data import annotations, groundtruth
    from siamfc_jax.network import run_folders

    clip = Clip("a.mp4", 640, 480, 25.0, tuple(range(6)))
    marks = tuple(Mark(frame, (10.0 + frame, 20, 30, 40), frame == 0) for frame in range(6))
    tracks = [Track("anna", marks), Track("ball", marks[2:])]
    for form, name in ((coco, "coco.json"), (cvat, "cvat.xml"), (label_studio, "studio.json")):
        form.write(folder / name, clip, tracks)
    voc = ("<annotation><size><width>64</width><height>48</height></size><object><name>a</name>"
           "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>40</ymax></bndbox></object>"
           "</annotation>")  # fmt: skip
    project = {
        "objects": [{"id": 1, "name": "a", "color": "#102030", "hidden": False}],
        "keys": [{"object": 1, "frame": 0, "box": [1, 2, 30, 40]}],
        "ends": [{"object": 1, "frame": 5}],
    }
    rows = [{"frame": n, "object": "a", "x": n, "y": 2, "w": 30, "h": 40} for n in range(4)]
    lines = "".join(f"{n},2,30,40\n" for n in range(1, 7))
    corners = "".join(f"{n},2,{n + 9},2,{n + 9},40,{n},40\n" for n in range(1, 7))
    metrics = "".join(f'{{"step": {n}, "loss": 0.5}}\n' for n in range(9))

    def finite(path):
        keys = key_files.read_keys(path).keys
        if not np.isfinite([key.box for key in keys]).all():
            raise WrongError(f"boxes {[key.box for key in keys]}")

    def boxes(path):
        groundtruth.read_boxes(path, one_based=True)
        groundtruth.upright_boxes(groundtruth.read_regions(path))

    def vatic(path):
        groundtruth.read_vatic(path)

    def page_project(path):
        try:
            data = json.loads(path.read_bytes())
        except (ValueError, RecursionError):
            return  # answered before, see the page's own attack
        projects.read_project(data, (480, 640, 3), 6)

    return [
        ("a.json", (folder / "coco.json").read_bytes(), coco.read),
        ("a.xml", (folder / "cvat.xml").read_bytes(), finite),
        ("a.json", (folder / "studio.json").read_bytes(), label_studio.read),
        ("a.json", json.dumps(rows).encode(), finite),
        ("a.csv", b"frame,object,x,y,w,h,key,gone\n0,a,1,2,30,40,1,5\n2,b,1,2,30,40,1,\n", finite),
        ("a.txt", lines.encode(), boxes),
        ("a.txt", corners.encode(), boxes),
        ("a.txt", b"0 1 2 30 40 0 0 0 0 \"a\"\n" * 5, vatic),
        ("a.txt", b"1 1 2 30 40\n4 2 3 31 41\n", groundtruth.read_sparse),
        ("a.txt", b"0\n1\n0\n0\n", lambda path: groundtruth.read_labels(path, 4)),
        ("a.txt", b"one\ntwo\nthree\n", groundtruth.read_names),
        ("a.xml", voc.encode(), annotations.read_xml),
        ("a.json", (folder / "coco.json").read_bytes(),
         lambda path: annotations.parse_coco(path.read_bytes(), path)),
        ("a.json", json.dumps(project).encode(), page_project),
        ("metrics.jsonl", metrics.encode(), lambda path: run_folders.read_metrics(path.parent)),
    ]  # fmt: skip


def strike_text(forms, rng, folder):
    """Reads a damaged annotation file."""
    name, content, reader = rng.choice(forms)
    (folder / name).write_bytes(damage(content, rng, TOKENS))
    reader(folder / name)
    return "worked"


def strike_box(_, rng, folder):
    """Parses a damaged `--box`, and a job of it."""
    import numpy as np

    from siamfc_jax.geometry import check_box
    from siamfc_jax.media.box_files import parse_box

    text = damage(b"12,34.5,56,78", rng, TOKENS).decode("utf-8", "surrogateescape")
    box = check_box(parse_box(text), (480, 640))
    if not (np.isfinite(box).all() and (np.asarray(box[2:]) > 0).all()):
        raise WrongError(f"{text!r} gave {box}")
    return "worked"


VIDEOS = {  # words for ffmpeg
    "a.mp4": ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-g", "12"],
    "a.mkv": ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-g", "12"],
    "a.webm": ["-c:v", "libvpx"],
    "b.avi": ["-c:v", "mpeg4"],
    "c.avi": ["-c:v", "mjpeg"],
    "a.ts": ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-g", "12"],
    "a.gif": [],
}
COUNT = 80  # frames, 20 a second


def prepare_video(folder):
    """Returns name -> bytes of a video of each kind."""
    import imageio_ffmpeg

    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    scene = f"testsrc2=size=96x64:rate=20:duration={COUNT / 20}"
    for name, words in VIDEOS.items():
        command = [ffmpeg, "-y", "-loglevel", "error", "-f", "lavfi", "-i", scene, *words]
        subprocess.run([*command, folder / name], check=True)
    return ffmpeg, {name: (folder / name).read_bytes() for name in VIDEOS}


def strike_video(made, rng, folder):
    """Decodes a damaged video; ffmpeg is the judge of what has to be told."""
    from siamfc_jax.media import video

    ffmpeg, contents = made
    name = rng.choice(list(contents))
    path = folder / name
    path.write_bytes(damage(contents[name], rng))
    opened = video.open_source(str(path))
    numbers = [number for number, _ in opened.frames]
    if numbers != sorted(set(numbers)):
        raise WrongError(f"{name}: frames are numbered {numbers}")
    if opened.gaps:
        return "told"
    # Up to half a second at the end may be missing: containers promise so much too much.
    if len(numbers) < COUNT - 11:
        command = [ffmpeg, "-v", "error", "-i", path, "-f", "null", "-"]
        said = subprocess.run(command, capture_output=True, text=True, errors="replace").stderr
        if said:
            raise WrongError(
                f"{name}: {len(numbers)} of {COUNT} frames; ffmpeg: {said.splitlines()[0]}"
            )
    return "worked"


def prepare_weights(folder):
    """Returns name -> bytes of a network in each foreign form."""
    import test_weights
    from torch_writers import tensors, write_legacy, write_zip

    test_weights.write_mat(folder / "a.mat")
    write_zip(folder / "a.pth", *tensors(test_weights.pytorch_arrays()))
    write_legacy(folder / "b.pth", *tensors(test_weights.pytorch_arrays()))
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def strike_weights(contents, rng, folder):
    """Imports a damaged weight file; its numbers may be other ones, but never none."""
    import numpy as np

    from siamfc_jax.network import weights

    name = rng.choice(list(contents))
    (folder / name).write_bytes(damage(contents[name], rng))
    loaded = weights.read_weights(folder / name)
    _check_numbers(np, loaded.variables)
    return "worked"


def _check_numbers(np, tree):
    import jax

    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)):
        raise WrongError("weights that are no numbers")


def prepare_model(folder):
    """Returns the folder of a saved model, and its checksum."""
    import tiny_networks

    from siamfc_jax.config import TrackerConfig
    from siamfc_jax.network import saved_models

    model = saved_models.Model(tiny_networks.variables(), tiny_networks.CONFIG, TrackerConfig())
    saved_models.save_model(folder / "model", model)
    return folder / "model", saved_models.checksum(model.variables)


def prepare_checkpoint(folder):
    """Returns the folder of a run with one checkpoint, and its checksum."""
    import jax
    import jax.numpy as jnp
    import tiny_networks

    from siamfc_jax.config import TrackerConfig, TrainConfig
    from siamfc_jax.network import saved_models
    from siamfc_jax.training import checkpoints, loop, sgd

    class Source:
        def fingerprint(self):
            return "abc"

    config = TrainConfig(batch_size=4)
    model = saved_models.Model(tiny_networks.variables(), tiny_networks.CONFIG, TrackerConfig())
    variables = jax.tree.map(jnp.asarray, model.variables)
    state = sgd.create_state(variables, sgd.make_optimizer(config), config=config)
    settings = loop._settings(config, tiny_networks.CONFIG, Source(), model, ())
    with checkpoints.open_manager(folder / "run", keep=1, errors={}) as manager:
        checkpoints.save(manager, 3, loop._to_save(state), settings)
        checkpoints.finish(manager)
    return folder / "run", saved_models.checksum(model.variables)


def strike_model(made, rng, folder):
    """Loads a damaged model folder or checkpoint: the same numbers, or none."""
    from siamfc_jax.network import saved_models

    source, checksum = made
    damage_folder(source, folder / "model", rng)
    if saved_models.checksum(saved_models.load_model(folder / "model").variables) != checksum:
        raise WrongError("other weights")
    return "worked"


def prepare_prepared(folder):
    """Returns the folder of a prepared set, and the pairs that it gives."""
    from training_trees import make_got10k

    from siamfc_jax.preparation.builder import prepare

    for number in range(3):
        boxes = [[10 + frame, 8, 20, 16] for frame in range(4)]
        make_got10k(folder / "source" / "train", f"video_{number}", boxes)
    prepare("got10k", folder / "source", folder / "out", split=None, workers=1, as_is=True)
    return folder / "out", _pairs(folder / "out")


def _pairs(folder):
    import numpy as np

    from siamfc_jax.data.pairs import PairSource
    from siamfc_jax.data.prepared import read_prepared

    tracks = read_prepared(folder)
    source = PairSource(tracks, np.ones(len(tracks)), seed=4, max_gap=20)
    return [source[index]["search"].tobytes() for index in range(6)]


def strike_prepared(made, rng, folder):
    """Draws pairs from a damaged set: the same ones, or none."""
    source, pairs = made
    place = folder / f"set{rng.random()}"  # never the same: readers of a place stay open
    damage_folder(source, place, rng)
    if _pairs(place) != pairs:
        raise WrongError("other pairs")
    return "worked"


def prepare_page(folder):
    """Returns a client of the page, with a clip open, and what it sends."""
    import cv2
    import numpy as np
    import tiny_networks
    from starlette.testclient import TestClient

    from siamfc_jax.app import page
    from siamfc_jax.config import TrackerConfig
    from siamfc_jax.network import saved_models
    from siamfc_jax.tracking import tracker

    for number in range(3):
        frame = np.random.default_rng(number).integers(0, 255, (48, 64, 3), np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), frame)
    model = saved_models.Model(tiny_networks.variables(), tiny_networks.CONFIG, TrackerConfig())
    app = page.make_app(lambda name: (tracker.prepare(model), model.tracker_config), ["tiny"],
                        sample=str(folder))  # fmt: skip
    client = TestClient(app, base_url="http://localhost", raise_server_exceptions=True)
    client.__enter__()
    clip = client.put("/clips/sample").json()["id"]
    project = {
        "objects": [{"id": 1, "name": "a", "color": "#102030", "hidden": False}],
        "keys": [{"object": 1, "frame": 0, "box": [1, 2, 30, 40]}],
        "ends": [],
    }
    video = prepare_video(folder)[1]
    requests = [
        ("PUT", f"/clips/{clip}/project", json.dumps({"project": project, "tracks": {}}).encode()),
        ("PUT", f"/clips/{clip}/run", json.dumps({"project": project}).encode()),
        ("GET", f"/clips/{clip}/frames/0", b""),
        ("GET", f"/clips/{clip}", b""),
        ("GET", f"/clips/{clip}/exports/a.csv", b""),
        ("PUT", "/clips?name=a.mp4", video["a.mp4"]),
        ("DELETE", f"/clips/{clip}/run", b""),
    ]
    return client, requests


def strike_page(made, rng, folder):
    """Sends a damaged request: it is answered, and never by 500."""
    client, requests = made
    method, address, content = rng.choice(requests)
    if rng.random() < 0.3:
        head, _, tail = address.rpartition("/")
        tail = damage(tail.encode(), rng, TOKENS).decode("latin-1")
        address = f"{head}/" + "".join(c if c.isalnum() else f"%{ord(c):02x}" for c in tail[:4000])
    if content:
        content = damage(content, rng, TOKENS)
    answer = client.request(method, address, content=content)
    if answer.status_code >= 500:
        raise WrongError(f"{method} {address[:80]}: {answer.status_code} {answer.text[:200]}")
    return "worked" if answer.status_code < 400 else "refused"


def _save_killed(path, which, number):
    """Saves OLD or NEW of killed_saves.py, killed at a file operation; 0 for none."""
    script = "import pathlib, killed_saves as k; "
    script += f"k.save(pathlib.Path({str(path)!r}), {which}, {number})"
    # In a process of its own, as a fork of one with JAX's threads does not work.
    subprocess.run([sys.executable, "-c", script], cwd=ROOT / "tests/made", check=True)


def prepare_kill(folder):
    """Returns the folder of a model that another one is saved over."""
    _save_killed(folder / "before" / "model", "k.OLD", 0)
    return folder / "before"


def strike_kill(source, rng, folder):
    """Kills a process that saves a model, at one of its file operations: old or new is whole."""
    import killed_saves

    from siamfc_jax.network import saved_models

    shutil.copytree(source, folder / "x")
    _save_killed(folder / "x" / "model", "k.NEW", rng.randrange(1, 25))
    found = saved_models.checksum(saved_models.load_model(folder / "x" / "model").variables)
    both = (killed_saves.OLD, killed_saves.NEW)
    if found not in [saved_models.checksum(model.variables) for model in both]:
        raise WrongError("neither the old model nor the new one")
    return "worked"


def prepare_bomb(folder):
    """Returns nothing; bombs are made one by one."""


def strike_bomb(_, rng, folder):
    """Opens a small file that claims to hold much."""
    import struct
    import zlib

    import numpy as np
    import test_bombs

    from siamfc_jax.media import image_sources
    from siamfc_jax.network import weights

    side = rng.choice((20_000, 65_000, 1 << 20, 1 << 28))
    kind = rng.randrange(5)
    if kind == 0:
        path = folder / "a.mat"
        claims = rng.choice([(side, 1), (side, side), (3, side, 7)])
        test_bombs.write_matlab(
            path, test_bombs.matrix(rng.randrange(1, 16), claims, rng.randbytes(64))
        )
        weights.read_weights(path)
    elif kind == 1:
        path = folder / "a.pth"
        pickled = damage(test_bombs.expanded(), rng, [struct.pack("<I", side), b"r", b"."])
        test_bombs.write_pickle(path, pickled)
        weights.read_weights(path)
    elif kind == 2:  # a PNG of a few bytes with a large head
        head = struct.pack(">II5B", side, side, 8, 2, 0, 0, 0)
        chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b""))
        data = b"\x89PNG\r\n\x1a\n" + b"".join(
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
            for name, body in chunks
        )
        (folder / "a.png").write_bytes(data)
        image_sources.read_image(folder / "a.png")
    elif kind == 3:
        path = folder / "a.npz"
        np.savez_compressed(path, **{"conv1/kernel": np.zeros((rng.choice((10, 3000)), 1000))})
        path.write_bytes(damage(path.read_bytes(), rng))
        weights.read_weights(path)
    else:
        from siamfc_jax.media import video

        video.open_source(str(folder / "a.mp4"), resize=f"{side}x{side}")
    return "worked"


ATTACKS = {
    "text": Attack(prepare_text, strike_text),
    "box": Attack(lambda folder: None, strike_box),
    "video": Attack(prepare_video, strike_video),
    "weights": Attack(prepare_weights, strike_weights),
    "model": Attack(prepare_model, strike_model),
    "checkpoint": Attack(prepare_checkpoint, strike_model),
    "prepared": Attack(prepare_prepared, strike_prepared),
    "page": Attack(prepare_page, strike_page),
    "kill": Attack(prepare_kill, strike_kill),
    "bomb": Attack(prepare_bomb, strike_bomb),
}
NEEDS = {"page": ("starlette", "httpx")}  # left out where they are missing


def work(folder):
    """Is a worker: strikes with each "attack seed number" of standard input, answers in JSON."""
    from siamfc_jax.commands import shell

    warnings.simplefilter("ignore")
    made = {}
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what is struck may print
    for line in sys.stdin:
        name, seed, number = line.split()
        attack = ATTACKS[name]
        place = folder / "input"
        shutil.rmtree(place, ignore_errors=True)
        if name not in made:
            (folder / name).mkdir()
            made[name] = attack.prepare(folder / name)
        place.mkdir()
        pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak is counted anew
        before = _memory("VmRSS")
        rng = random.Random(f"{name} {seed} {number}")
        error = ""
        try:
            outcome = attack.strike(made[name], rng, place)
        except shell.EXPECTED as expected:
            outcome = "refused"
            if "\n" in shell.describe(expected):
                outcome, error = "broken", f"several lines: {expected}"
        except WrongError as wrong:
            outcome, error = "wrong", str(wrong)
        except BaseException as unexpected:
            outcome = "broken"
            place_of = traceback.extract_tb(unexpected.__traceback__)[-1]
            error = f"{type(unexpected).__name__}: {unexpected} ({place_of.name})"
        grown = _memory("VmHWM") - before
        if grown > MEMORY:
            outcome, error = "memory", f"{grown:.0f} MiB; {error}"
        print(json.dumps([outcome, error[:300]]), file=answers, flush=True)


def _memory(name):
    status = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(rf"{name}:\s*(\d+) kB", status)[1]) / 1024


class Worker:
    """A process that strikes; started anew when it dies or hangs."""

    def __init__(self, folder):
        self.folder, self.process = folder, None

    def strike(self, name, seed, number):
        """Returns (outcome, error)."""
        if self.process is None:
            place = tempfile.mkdtemp(dir=self.folder)
            self.said = pathlib.Path(place, "said")
            with self.said.open("w") as said:
                self.process = subprocess.Popen(
                    [sys.executable, __file__, "--work", place],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True,
                    env=os.environ | {"JAX_PLATFORMS": "cpu"},
                )  # fmt: skip
            fresh = 4  # times as long: it imports and prepares
        else:
            fresh = 1
        self.process.stdin.write(f"{name} {seed} {number}\n")
        self.process.stdin.flush()
        with selectors.DefaultSelector() as waiting:
            waiting.register(self.process.stdout, selectors.EVENT_READ)
            heard = waiting.select(fresh * SECONDS)
        answer = self.process.stdout.readline() if heard else ""
        if answer:
            return json.loads(answer)
        if not heard:
            self.close()
            return "hung", f"over {fresh * SECONDS} s"
        code = self.process.wait()
        self.close()
        said = self.said.read_text(errors="replace").strip().splitlines()
        return "died", f"exit code {code}, {said[-1] if said else 'without a word'}"

    def close(self):
        """Ends the process."""
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None


def main(argv=None) -> int:
    """Strikes until the time is up; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=ATTACKS, default=list(ATTACKS))
    parser.add_argument("--from", dest="first", type=int, default=0, help="number of the first")
    parser.add_argument("--count", type=int, help="inputs of each attack; by default no limit")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--work", type=pathlib.Path, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.work:
        work(args.work)
        return 0
    names = [name for name in args.only if all(map(importlib.util.find_spec, NEEDS.get(name, ())))]
    for name in set(args.only) - set(names):
        print(f"{name} is left out; it needs {' and '.join(NEEDS[name])}")
    end = time.monotonic() + 60 * args.minutes
    turns = [name for name in names for _ in range(TURNS[name])]
    random.Random(args.seed).shuffle(turns)
    numbers = {name: itertools.count(args.first) for name in names}
    counts: dict[str, Counter] = {name: Counter() for name in names}
    broken = []
    order = itertools.cycle(turns) if args.count is None else names * args.count
    queue, lock = ((name, next(numbers[name])) for name in order), threading.Lock()

    def serve(worker):
        while time.monotonic() < end:
            with lock:
                name, number = next(queue, (None, 0))
            if name is None:
                break
            outcome, error = worker.strike(name, args.seed, number)
            counts[name][outcome] += 1
            if outcome not in ("worked", "told", "refused"):
                broken.append((name, number, outcome, error))
        worker.close()

    with (
        tempfile.TemporaryDirectory(prefix="stress-") as folder,
        concurrent.futures.ThreadPoolExecutor(args.workers) as pool,
    ):
        for done in [pool.submit(serve, Worker(folder)) for _ in range(args.workers)]:
            done.result()
    kinds = ("worked", "told", "refused", "wrong", "broken", "memory", "died", "hung")
    print(f"| attack, seed {args.seed} | inputs | {' | '.join(kinds)} |")
    print("|---|---:" + "|---:" * len(kinds) + "|")
    for name, outcomes in counts.items():
        cells = " | ".join(str(outcomes[kind]) for kind in kinds)
        print(f"| {name} | {sum(outcomes.values())} | {cells} |")
    print(f"\n{sum(sum(c.values()) for c in counts.values()):,} inputs, {len(broken)} broke")
    for name, number, outcome, error in broken[:40]:
        print(f"--only {name} --seed {args.seed} --from {number} --count 1: {outcome}: {error}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
