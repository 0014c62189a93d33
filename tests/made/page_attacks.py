"""What a hostile or careless visitor does to the page, each with what came of it.

    python tests/made/page_attacks.py [--root CHECKOUT]

starts `siamfc serve` of a checkout and prints a table; the tests make the same attacks.
"""

import argparse
import concurrent.futures
import contextlib
import http.client
import json
import os
import pathlib
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.parse
import zlib
from typing import NamedTuple

import cv2
import numpy as np

IMAGES = b"images\n\0"
PROMISED = 8  # clips


class Outcome(NamedTuple):
    """What came of an attack: in words, and whether what is promised held."""

    text: str
    held: bool


class Server:
    """`siamfc serve` as a process that keeps its files below `temporary`."""

    def __init__(self, root, temporary, *words):
        self.temporary = pathlib.Path(temporary)
        command = [sys.executable, pathlib.Path(root) / "track.py", "--serve", "--port", "0"]
        self.process = subprocess.Popen(
            [str(word) for word in [*command, *words]], stdout=subprocess.PIPE, text=True,
            env=os.environ | {"TMPDIR": str(temporary)},
        )  # fmt: skip
        line = self.process.stdout.readline()
        url = urllib.parse.urlsplit(line.split()[1])
        self.host, self.port, self.path = url.hostname, url.port, url.path.rstrip("/")

    def ask(self, method, path, body=None, **headers):
        """Returns (status, headers, body); status 0 where the connection was cut."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        names = {"Host": f"{self.host}:{self.port}"}
        names |= {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.putrequest(method, self.path + path, skip_host=True)
            for name, value in names.items():
                connection.putheader(name, value)
            if body is not None and "Content-Length" not in names:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders()
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.send(body or b"")
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        except (http.client.HTTPException, OSError):
            return 0, {}, b""
        finally:
            connection.close()

    def begin(self, method, path, length, part=b""):
        """Sends the head and a part of a request, and returns its connection."""
        one = socket.create_connection(("127.0.0.1", self.port))
        head = f"{method} {self.path}{path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n"
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # refused on its way
            one.sendall(f"{head}Content-Length: {length}\r\n\r\n".encode() + part)
        return one

    def folders(self):
        """Lists the folders of clips and of what shall become one."""
        return [path for path in self.temporary.glob("siamfc_*/*") if path.is_dir()]

    def end(self, number=signal.SIGTERM):
        """Ends it by a signal."""
        self.process.send_signal(number)
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


def images(*pictures):
    """Joins image files as the page does."""
    return IMAGES + b"".join(len(one).to_bytes(4, "little") + one for one in pictures)


def clip(count=3):
    """Makes the body of a small clip."""
    frame = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    return images(*[cv2.imencode(".jpg", frame)[1].tobytes()] * count)


def large_png(side):
    """Makes a black PNG of many pixels and few bytes."""

    def chunk(kind, data):
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    packer = zlib.compressobj()
    rows = b"".join(packer.compress(bytes(3 * side + 1)) for _ in range(side)) + packer.flush()
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def opened(server):
    """Opens a clip with one drawn object and returns its path."""
    status, _, answer = server.ask("PUT", "/clips", clip())
    assert status == 200, answer
    here = f"/clips/{json.loads(answer)['id']}"
    project = {"version": 0, **drawing("a")}
    assert server.ask("PUT", here + "/project", json.dumps(project).encode())[0] == 200
    return here


def drawing(name):
    """Makes a project of one object."""
    one = {"id": 1, "name": name, "color": "#ff0000", "hidden": False}
    return {
        "objects": [one], "keys": [{"object": 1, "frame": 0, "box": [20, 10, 20, 20]}], "ends": []
    }  # fmt: skip


def left_of_uploads(server, count, seconds, answers):
    """Begins uploads of 100 MB, sends 1 MB of each, and counts their folders some time later.

    It waits for the time, or until so many of them are answered.
    """
    before = len(server.folders())
    sent = [server.begin("PUT", "/clips", 100 * 2**20, b"x" * 2**20) for _ in range(count)]
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and len(select.select(sent, [], [], 0)[0]) < answers:
        time.sleep(0.02)
    left = len(server.folders()) - before
    for one in sent:
        one.close()
    return left


def unfinished_uploads(server):
    """Begins 60 uploads and ends none."""
    before = len(server.folders())
    open_ones = left_of_uploads(server, 60, 10, answers=56)
    deadline = time.monotonic() + 10
    while len(server.folders()) > before and time.monotonic() < deadline:
        time.sleep(0.02)
    gone = len(server.folders()) == before
    return Outcome(f"{open_ones} lie on the disk", 0 < open_ones <= 4 and gone)


def silent_uploads(server):
    """Begins 4 uploads and sends nothing more for half a minute."""
    left = left_of_uploads(server, 4, 30, answers=4)
    return Outcome(f"{left} lie on the disk after 30 s", left == 0)


def uploads_at_once(server):
    """Uploads 60 small clips at the same time."""
    body = clip()
    with concurrent.futures.ThreadPoolExecutor(60) as crowd:
        answers = crowd.map(lambda _: server.ask("PUT", "/clips", body), range(60))
        found = [status for status, *_ in answers]
    kept, fine = len(server.folders()), found.count(200)
    held = kept <= PROMISED and fine > 0 and set(found) <= {200, 503}
    return Outcome(f"{fine} taken, {kept} kept", held)


def eviction_while_downloaded(server):
    """Opens 8 more clips while one is being sent to a visitor who does not read on."""
    picture = cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8))[1].tobytes()
    answer = server.ask("PUT", "/clips", images(*[picture] * 1000))[2]
    here = f"/clips/{json.loads(answer)['id']}"
    objects = range(1, 61)
    project = {
        "version": 0,
        "objects": [drawing(str(number))["objects"][0] | {"id": number} for number in objects],
        "keys": [{"object": number, "frame": 0, "box": [4, 4, 8, 8]} for number in objects],
        "ends": [],
        "tracks": {number: [[n, 4, 4, 8, 8, 0.5, 0] for n in range(1, 1000)] for number in objects},
    }  # 9 MB as JSON, more than the system takes for somebody who does not read
    status, _, answer = server.ask("PUT", here + "/project", json.dumps(project).encode())
    assert status == 200, answer
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    reader.connect(("127.0.0.1", server.port))
    ask = f"GET {server.path}{here}/exports/json HTTP/1.1\r\nHost: {server.host}:{server.port}"
    reader.sendall(f"{ask}\r\n\r\n".encode())
    reader.recv(1)  # it is on its way
    for _ in range(PROMISED):
        server.ask("PUT", "/clips", clip())
    status = server.ask("GET", here)[0]
    reader.close()
    return Outcome("removed" if status == 404 else "kept", status == 200)


def killed(server, start):
    """Kills a server and starts another one, beside a third that lives."""
    opened(server)
    other = start()
    name = opened(other).rpartition("/")[2]
    mine = next(path for path in other.folders() if path.name == name)
    server.end(signal.SIGKILL)
    third = start()
    third.ask("GET", "/")  # it is ready, so its own folder is there
    try:
        found = len([path for path in server.temporary.glob("siamfc_*") if path.is_dir()])
        return Outcome(f"{found} folders of 2 living servers", found == 2 and mine.is_dir())
    finally:
        other.end()
        third.end()


DRAWN = json.dumps({"version": 1, **drawing("a")})
TRACKED = json.dumps({"version": 1, **drawing("a"), "tracks": {"1": [[1]]}})
HUGE = "1" + "0" * 400
SURROGATE = {"version": 1, **drawing("\ud800")}
JSON = {
    "JSON nested 100,000 deep": b'{"version": 1, "objects": '
    + b"[" * 100_000
    + b"]" * 100_000
    + b"}",
    "JSON nested 900 deep": b'{"version": 1, "objects": ' + b"[" * 900 + b"]" * 900 + b"}",
    "1e400 in a box": DRAWN.replace("20, 10", "1e400, 10").encode(),
    "10^400 in a box": DRAWN.replace("20, 10", HUGE + ", 10").encode(),
    "10^400 as a frame": DRAWN.replace('"frame": 0', f'"frame": {HUGE}').encode(),
    "10^400 in a tracked box": TRACKED.replace("[[1]]", f"[[1, {HUGE}, 1, 9, 9, 0, 0]]").encode(),
    "1e400 in a tracked box": TRACKED.replace("[[1]]", "[[1, 1, 1, 9, 9, 0, 1e400]]").encode(),
    "NaN": b'{"version": NaN}',
    "half a character in a name": json.dumps(SURROGATE).encode(),
    "the same, not escaped": json.dumps(SURROGATE, ensure_ascii=False).encode(
        errors="surrogatepass"
    ),
    "control character in a name": json.dumps({"version": 1, **drawing("a\x01")}).encode(),
}


def bad_json(server, body):
    """Sends JSON as a project, and looks whether the clip can be used afterwards."""
    here = opened(server)
    status, _, answer = server.ask("PUT", here + "/project", body)
    after = [server.ask("GET", here)[0], server.ask("GET", here + "/exports/cvat")[0]]
    text = f"{status or 'cut off'}" + ("" if after == [200, 200] else f", then {after}")
    try:
        line = json.loads(answer)["error"]
    except (ValueError, KeyError):
        line = ""
    return Outcome(text, status == 400 and 0 < len(line) < 200 and "\n" not in line
                   and after == [200, 200])  # fmt: skip


def headers(server):
    """Looks for the headers of safety on answers of every kind."""
    here = opened(server)
    wanted = [
        "Content-Security-Policy", "X-Content-Type-Options", "Referrer-Policy", "X-Frame-Options",
        "Cross-Origin-Opener-Policy", "Cross-Origin-Resource-Policy", "Permissions-Policy",
    ]  # fmt: skip
    answers = [
        server.ask("GET", "/"),
        server.ask("GET", "/browser/page.js"),
        server.ask("GET", here),
        server.ask("GET", here + "/frames/0"),
        server.ask("GET", here + "/exports/csv"),
        server.ask("GET", "/none"),
        server.ask("POST", "/clips", b""),
        server.ask("PUT", "/clips", b"x"),
        server.ask("GET", "/", Host="elsewhere.example"),
    ]
    bare = sum(not all(found.get(name) for name in wanted) for _, found, _ in answers)
    ok = all("frame-ancestors 'none'" in found["Content-Security-Policy"] for _, found, _ in answers
             if "Content-Security-Policy" in found)  # fmt: skip
    return Outcome(f"missing on {bare} of {len(answers)} answers", bare == 0 and ok)


def hosts(server, names):
    """Asks under other names, as a site does whose name was made to point here."""
    taken = [name for name in names if server.ask("GET", "/", Host=name)[0] == 200]
    return Outcome(f"taken: {', '.join(taken) or 'none'}", not taken)


def without_token(server):
    """Asks a server that others reach without the token of its address."""
    path, server.path = server.path, ""
    try:
        taken = [one for one in ("/", "/browser/page.js", "/clips/x", "/none", "/%2e/")
                 if server.ask("GET", one)[0] != 403]  # fmt: skip
        taken += ["PUT"] * (server.ask("PUT", "/clips", clip())[0] != 403)
        found = "answered" if taken else "refused"
    finally:
        server.path = path
    return Outcome(found, not taken and server.ask("GET", "/")[0] == 200)


def ranges(server):
    """Asks for a file in 10,000 parts that lie apart."""
    parts = ",".join(f"{n}-{n}" for n in range(0, 20_000, 2))
    begin = time.monotonic()
    status, _, body = server.ask("GET", "/browser/page.js", Range=f"bytes={parts}")
    took = time.monotonic() - begin
    return Outcome(f"{status or 'refused'}, {len(body) / 1e3:.0f} kB in {took:.2f} s", took < 0.5)


def far_frame(server):
    """Asks for a frame far behind the end."""
    here = opened(server)
    found = [server.ask("GET", f"{here}/frames/{n}")[0] for n in (10**9, 10**400, "1" + "0" * 5000)]
    return Outcome(str(found), set(found) <= {400, 404})


def large_claim(server):
    """Sends an image of 9,000 x 9,000 pixels, which are 240 MB, in 240 kB."""
    begin = memory(server)
    status, *_ = server.ask("PUT", "/clips", images(large_png(9000)))
    grown = memory(server) - begin
    return Outcome(f"{status}, {grown:.0f} MB more", status == 400 and grown < 100)


def memory(server):
    """Returns the peak memory of the server in MB."""
    text = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", text)[1]) / 1024


def empty_images(server):
    """Sends 2 MB that claim to be 500,000 images of no byte."""
    status, _, answer = server.ask("PUT", "/clips", IMAGES + bytes(4 * 500_000))
    return Outcome(f"{status}", status == 400 and b"image" in answer)


def long_body(server):
    """Announces 10 GB."""
    begin = time.monotonic()
    status = server.ask("PUT", "/clips", b"x", Content_Length=str(10**10))[0]
    took = time.monotonic() - begin
    return Outcome(f"{status or 'waits for it'}", status == 413 and took < 5)


def exports_at_once(server):
    """Fetches the same export 40 times at once."""
    here = opened(server)
    forms = ("csv", "cvat", "coco", "yolo")
    whole = {form: server.ask("GET", f"{here}/exports/{form}")[2] for form in forms}
    asked = [form for form in whole for _ in range(40)]
    with concurrent.futures.ThreadPoolExecutor(8) as crowd:
        found = list(crowd.map(lambda form: server.ask("GET", f"{here}/exports/{form}"), asked))
    torn = sum(status != 200 or len(body) != len(whole[form])
               for form, (status, _, body) in zip(asked, found, strict=True))  # fmt: skip
    return Outcome(f"{torn} of {len(asked)} torn", not torn)


def main() -> int:
    """Makes all attacks and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", default=pathlib.Path(__file__).parents[2], help="checkout")
    args = parser.parse_args()
    print("| attack | what came of it | held |\n|---|---|---|")

    def attack(name, function, *more):
        try:
            text, held = function(*more)
        except Exception as error:  # a server that no longer answers is a result as well
            text, held = f"{type(error).__name__}: {error}"[:80], False
        print(f"| {name} | {text} | {'yes' if held else 'NO'} |", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        place = pathlib.Path(folder, "killed")
        place.mkdir()
        attack("SIGKILL, then a new start", killed, Server(args.root, place),
               lambda: Server(args.root, place))  # fmt: skip
        place = pathlib.Path(folder, "local")
        place.mkdir()
        server = Server(args.root, place)
        attack("60 unfinished uploads", unfinished_uploads, server)
        attack("4 uploads that go silent", silent_uploads, server)
        attack("8 more clips while one is downloaded", eviction_while_downloaded, server)
        attack("another name as Host, 127.0.0.1", hosts, server, ["elsewhere.example",
               "127.0.0.1:1", "localhost", "127.0.0.1.elsewhere.example:80", ""])  # fmt: skip
        for name, body in JSON.items():
            attack(name, bad_json, server, body)
        attack("headers", headers, server)
        attack("10,000 ranges", ranges, server)
        attack("frame number 10^9, 10^400, 10^5000", far_frame, server)
        attack("240 kB that are a PNG of 9,000 x 9,000", large_claim, server)
        attack("500,000 empty images", empty_images, server)
        attack("10 GB announced", long_body, server)
        attack("160 exports at once", exports_at_once, server)
        attack("60 uploads at once, 8 promised", uploads_at_once, server)
        server.end()
        place = pathlib.Path(folder, "open")
        place.mkdir()
        server = Server(args.root, place, "--host", "0.0.0.0")
        attack("another name as Host, 0.0.0.0", hosts, server, ["elsewhere.example", ""])
        attack("no token, 0.0.0.0", without_token, server)
        server.end()
    return 0


if __name__ == "__main__":
    sys.exit(main())
