"""The window on the own desktop: draw boxes, watch them being tracked, change them in between.

What a key or the mouse does is `react`, a pure function of what the window remembers and the event,
and what the window shows is `compose`. `Window` is the shell that asks OpenCV for events and shows
pictures; it alone needs a display.
"""

import enum
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from siamfc_jax.app.live import Orders
from siamfc_jax.media import drawing
from siamfc_jax.tracking.results import FrameResult

TITLE = "siamfc_jax"
LARGEST = 1280, 720  # of the window when it opens; it can be resized
READABLE_WIDTH = 640  # a narrower frame is enlarged, so that the instructions fit beneath it
SMALLEST_BOX = 2  # pixels a side; less is a click
STARTING = "Starting, which takes some seconds the first time"
ENTER, SPACE, BACKSPACE = (10, 13, 141), (32,), (8, 127)
ADD, ANEW, QUIT = (ord("+"), ord("="), ord("a")), (ord("r"),), (ord("q"), 27)


class Phase(enum.Enum):
    """What the person does."""

    PREVIEW = enum.auto()  # looks at a camera before a frame is chosen
    DRAW = enum.auto()
    TRACK = enum.auto()
    PAUSE = enum.auto()
    END = enum.auto()


class Session(NamedTuple):
    """All that the window remembers.

    Attributes:
      phase: what the person does.
      drawn: boxes (x, y, w, h) in frame pixels that were drawn since the last start.
      drag: corners (x, y), (x, y) of the box that is being drawn, or None.
      tracked: number of objects under way.
      keeps: while drawing: whether the objects under way stay, too.
      is_fixed: whether the number of objects has to stay what it is.
      is_given: whether all boxes were given before, so that none is drawn here.
      note: why the last key did nothing, or empty.
    """

    phase: Phase
    drawn: tuple = ()
    drag: tuple | None = None
    tracked: int = 0
    keeps: bool = False
    is_fixed: bool = False
    is_given: bool = False
    note: str = ""


class Key(NamedTuple):
    """A key was pressed; `code` is that of `cv2.waitKey`."""

    code: int


class Press(NamedTuple):
    """The left button of the mouse went down at a point of the frame."""

    x: float
    y: float


class Move(NamedTuple):
    """The mouse moved to a point of the frame."""

    x: float
    y: float


class Release(NamedTuple):
    """The left button of the mouse went up at a point of the frame."""

    x: float
    y: float


class Closed(NamedTuple):
    """The window was closed."""


Event = Key | Press | Move | Release | Closed


def react(session: Session, event: Event) -> Session:
    """Says what the window remembers after an event.

    Args:
      session: all that the window remembers before it.
      event: a key, the mouse, or the end of the window.

    Returns:
      The same after it.
    """
    phase = session.phase
    if phase is Phase.END:
        return session
    match event:
        case Closed():
            return session._replace(phase=Phase.END)
        case Key(code):
            return _press_key(session._replace(note=""), code)
        case Press(x, y) if phase is Phase.DRAW:
            return session._replace(drag=((x, y), (x, y)), note="")
        case Move(x, y) if session.drag:
            return session._replace(drag=(session.drag[0], (x, y)))
        case Release(x, y) if session.drag:
            box = _between(session.drag[0], (x, y))
            drawn = session.drawn + (box,) * (min(box[2:]) >= SMALLEST_BOX)
            return session._replace(drag=None, drawn=drawn)
    return session


def _press_key(session, code):
    phase = session.phase
    if code in QUIT:
        return session._replace(phase=Phase.END)
    if phase is Phase.PREVIEW:
        return session._replace(phase=Phase.DRAW)
    if phase is Phase.DRAW:
        if code in ENTER:
            return _start(session)
        if code in BACKSPACE:
            return session._replace(drawn=session.drawn[:-1], drag=None)
        if code in ANEW:
            return session._replace(drawn=(), drag=None)
        return session
    if code in SPACE:
        return session._replace(phase=Phase.PAUSE if phase is Phase.TRACK else Phase.TRACK)
    if code in ANEW + ADD and session.is_given:
        return session._replace(note="All boxes were given; none can be drawn here.")
    if code in ANEW:
        return session._replace(phase=Phase.DRAW, keeps=False)
    if code in ADD and session.is_fixed:
        return session._replace(note="No object can be added with --boxes or --debug.")
    if code in ADD:
        return session._replace(phase=Phase.DRAW, keeps=True)
    return session


def _start(session):
    if not session.drawn and session.tracked:  # goes on as before
        return session._replace(phase=Phase.TRACK, keeps=True, drag=None)
    if not session.drawn:
        return session._replace(note="Draw a box first.")
    if session.is_fixed and session.tracked not in (0, len(session.drawn)):
        return session._replace(note=f"--boxes and --debug want {session.tracked} again.")
    count = len(session.drawn) + session.tracked * session.keeps
    return session._replace(phase=Phase.TRACK, tracked=count, drag=None, note=STARTING)


def _between(first, second):
    low, high = np.minimum(first, second), np.maximum(first, second)
    return (*low.tolist(), *(high - low).tolist())


def numbered(names: Sequence[str], count: int) -> list[str]:
    """Gives names to objects that were drawn.

    Args:
      names: that there are.
      count: of objects.

    Returns:
      The first `count` of the names, followed by the least numbers that are no names yet.
    """
    free = (str(n) for n in range(1, count + len(names) + 1) if str(n) not in names)
    return [*names[:count], *(next(free) for _ in range(count - len(names)))]


def instructions(session: Session, number: int) -> tuple[str, str]:
    """Returns the two lines beneath the frame.

    Args:
      session: all that the window remembers.
      number: of the frame.
    """
    drawn, tracked = len(session.drawn), session.tracked
    while_tracking = "+ adds an object    r draws anew    " * (not session.is_given) + "q ends"
    what, keys = {
        Phase.PREVIEW: ("Live picture", "Enter stops it, to draw on it    q ends"),
        Phase.DRAW: (
            f"Drag a box around each object: {drawn} drawn",
            "Enter starts    Backspace takes one back    r draws anew    q ends",
        ),
        Phase.TRACK: (
            f"Frame {number}: tracking {tracked} object{'s' * (tracked != 1)}",
            f"Space pauses    {while_tracking}",
        ),
        Phase.PAUSE: (f"Frame {number}: paused", f"Space goes on    {while_tracking}"),
        Phase.END: ("", ""),
    }[session.phase]
    return session.note or what, keys


def enlargement(width: int) -> int:
    """Returns how many times a frame of this width is enlarged in the window."""
    return max(1, -(-READABLE_WIDTH // width))


def compose(
    frame,
    session: Session,
    number: int,
    tracked=None,
    names: Sequence[str] = (),
    *,
    colors=drawing.COLORS,
):
    """Draws what the window shows: the frame, its boxes, and instructions beneath it.

    Args:
      frame: u8[H, W, 3] RGB.
      session: all that the window remembers.
      number: of the frame.
      tracked: (boxes f32[N, 4], confidences f32[N], lost bool[N]) of the objects under way, or
        None.
      names: N names.
      colors: RGB of each object, in the order of names; with more objects they begin again.

    Returns:
      u8[F H + bar, F W, 3], where F is `enlargement(W)`.
    """
    boxes, confidences, lost = tracked or (np.zeros((0, 4)), np.zeros(0), np.zeros(0, bool))
    drawn = list(session.drawn)
    if session.drag and min((box := _between(*session.drag))[2:]) >= SMALLEST_BOX:
        drawn.append(box)
    if session.phase is Phase.DRAW and not session.keeps:
        boxes, confidences, lost = boxes[:0], confidences[:0], lost[:0]
    names = numbered(names, len(boxes) + len(drawn))
    boxes = np.concatenate([boxes, np.reshape(drawn, (-1, 4))])
    confidences = np.append(confidences, np.full(len(drawn), np.nan))
    lost = np.append(lost, np.zeros(len(drawn), bool))
    factor = enlargement(frame.shape[1])
    large = cv2.resize(frame, None, fx=factor, fy=factor) if factor > 1 else frame
    picture = drawing.draw(large, boxes * factor, confidences, lost, names, colors=colors)
    bar = [_line(text, picture.shape) for text in instructions(session, number)]
    return np.vstack([picture, *bar])


def _line(text, shape):
    """Draws a line of instructions as wide as a picture of this shape, white on black."""
    wished = max(16, drawing.text_size(shape))
    sizes = range(wished, 5, -1)
    plates = (drawing.plate(text, drawing.BLACK, size) for size in sizes)
    words = next((plate for plate in plates if plate.shape[1] <= shape[1]), None)
    line = np.zeros((round(1.7 * wished), shape[1], 3), np.uint8)
    if words is not None:
        inside = words[2:-2, 2:-2]  # without its rim
        top = (len(line) - len(inside)) // 2
        line[top : top + len(inside), 2 : 2 + inside.shape[1]] = inside
    return line


class Window:
    """The window itself: events of OpenCV in, pictures out.

    Attributes:
      session: what it remembers.
    """

    def __init__(self, is_fixed: bool = False, is_given: bool = False):
        """Opens it.

        Args:
          is_fixed: whether the number of objects has to stay as it was drawn first.
          is_given: whether all boxes were given before, so that none is drawn here.

        Raises:
          ValueError: there is no display.
        """
        check_display()
        self.session = Session(Phase.TRACK, is_fixed=is_fixed, is_given=is_given)
        self._events: list[Event] = []
        self._shape: tuple | None = None  # of the frame that is shown
        cv2.namedWindow(TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
        cv2.setMouseCallback(TITLE, self._notice)

    def select(self, first, frames: Iterator, is_live: bool):
        """Lets the person draw boxes on the first frame, of a camera on a frame they choose.

        Args:
          first: (number, u8[H, W, 3] RGB).
          frames: iterator of those after it; a live source is read until a key is pressed.
          is_live: whether the source is a camera or a stream.

        Returns:
          ((number, frame) that was drawn on, boxes f32[N, 4] with N at least 1).

        Raises:
          ValueError: nothing was drawn.
        """
        number, frame = first
        phase = Phase.PREVIEW if is_live else Phase.DRAW
        self.session = self.session._replace(phase=phase)
        while self.session.phase is Phase.PREVIEW:
            self._show(frame, number)
            if self.session.phase is Phase.PREVIEW:
                number, frame = next(frames, (number, frame))
        while self.session.phase is Phase.DRAW:
            self._show(frame, number, wait=20)
        self._show(frame, number)  # that it starts
        if self.session.phase is Phase.END:
            raise ValueError("no box was drawn; drag one with the mouse, then Enter starts")
        return (number, frame), self._take_orders().boxes

    def watch(self, frame, result: FrameResult, names: Sequence[str]) -> Orders:
        """Shows a frame and lets the person pause, end, add objects or draw them anew.

        Args:
          frame: u8[H, W, 3] RGB to draw on: that of the result, or one with its score maps.
          result: of the tracker.
          names: of its N objects.

        Returns:
          What to do from this frame on.
        """
        tracked = result.boxes, result.confidences, result.lost
        self.look(frame, result.number, tracked, names)
        if self.session.drawn:
            self._show(frame, result.number, tracked, names)  # that it starts
        return self._take_orders()

    def look(
        self, frame, number: int, tracked, names: Sequence[str], colors=drawing.COLORS
    ) -> bool:
        """Shows a frame, as long as the person pauses or draws.

        Args:
          frame: u8[H, W, 3] RGB.
          number: of the frame.
          tracked: (boxes f32[N, 4], confidences f32[N], lost bool[N]).
          names: of the N objects.
          colors: RGB of each object.

        Returns:
          Whether the person wants to go on.
        """
        self.session = self.session._replace(tracked=len(tracked[0]))
        self._show(frame, number, tracked, names, colors)
        while self.session.phase in (Phase.PAUSE, Phase.DRAW):
            self._show(frame, number, tracked, names, colors, wait=20)
        return self.session.phase is not Phase.END

    def close(self) -> None:
        """Closes it."""
        cv2.destroyWindow(TITLE)

    def _take_orders(self):
        boxes = np.reshape(np.array(self.session.drawn, np.float32), (-1, 4))
        orders = Orders(self.session.phase is not Phase.END, self.session.keeps, boxes)
        self.session = self.session._replace(drawn=(), keeps=False, note="")
        return orders

    def _show(self, frame, number, tracked=None, names=(), colors=drawing.COLORS, wait=1):
        picture = compose(frame, self.session, number, tracked, names, colors=colors)
        if self._shape is None:
            share = min(1, *np.divide(LARGEST, picture.shape[1::-1]))
            cv2.resizeWindow(TITLE, *(round(side * share) for side in picture.shape[1::-1]))
        self._shape = frame.shape
        cv2.imshow(TITLE, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        code = cv2.waitKey(wait)
        events, self._events = self._events, []
        events += [Key(code & 0xFF)] * (code >= 0)
        if cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) < 1:
            events.append(Closed())
        for event in events:
            self.session = react(self.session, event)

    def _notice(self, event, x, y, *_):
        kinds: dict = {
            cv2.EVENT_LBUTTONDOWN: Press,
            cv2.EVENT_MOUSEMOVE: Move,
            cv2.EVENT_LBUTTONUP: Release,
        }
        if event in kinds and self._shape is not None:
            height, width = self._shape[:2]
            factor = enlargement(width)
            point = np.clip([x / factor, y / factor], 0, [width, height])
            x, y = map(float, point)
            self._events.append(kinds[event](x, y))


def check_display() -> None:
    """Raises ValueError where no window can be opened.

    Tried in a process of its own, as Qt ends the process that tries in vain.
    """
    trial = [sys.executable, "-c", "import cv2; cv2.namedWindow('siamfc_jax')"]
    if subprocess.run(trial, capture_output=True).returncode:
        raise ValueError(
            "no display for a window; give the object with --box X,Y,W,H "
            "and write the result with --output out.mp4"
        )
