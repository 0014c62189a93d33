"""What keys and the mouse do in the window, without a display."""

import functools

import numpy as np
import pytest

from siamfc_jax.app import window
from siamfc_jax.app.window import Closed, Key, Move, Phase, Press, Release, Session, react

ENTER, SPACE, BACKSPACE, ESCAPE = Key(13), Key(32), Key(8), Key(27)
PLUS, ANEW, QUIT = Key(ord("+")), Key(ord("r")), Key(ord("q"))


def after(session, *events):
    return functools.reduce(react, events, session)


def drag(x, y, to_x, to_y):
    return Press(x, y), Move((x + to_x) / 2, to_y), Move(to_x, to_y), Release(to_x, to_y)


def test_a_box_is_drawn_from_any_corner():
    for events in (drag(10, 20, 40, 60), drag(40, 60, 10, 20), drag(40, 20, 10, 60)):
        session = after(Session(Phase.DRAW), *events)
        assert session.drawn == ((10, 20, 30, 40),)
        assert session.drag is None


def test_a_click_is_no_box():
    assert not after(Session(Phase.DRAW), Press(10, 20), Release(11, 60)).drawn


def test_the_mouse_draws_only_while_drawing():
    for phase in (Phase.PREVIEW, Phase.TRACK, Phase.PAUSE):
        assert not after(Session(phase), *drag(10, 20, 40, 60)).drawn


def test_boxes_can_be_taken_back_and_drawn_anew():
    session = after(Session(Phase.DRAW), *drag(0, 0, 9, 9), *drag(20, 0, 29, 9))
    assert after(session, BACKSPACE).drawn == ((0, 0, 9, 9),)
    assert after(session, ANEW).drawn == ()
    assert after(session, ANEW).phase is Phase.DRAW


def test_enter_starts_what_was_drawn():
    empty = react(Session(Phase.DRAW), ENTER)
    assert empty.phase is Phase.DRAW
    assert window.instructions(empty, 0)[0] == "Draw a box first."
    session = after(empty, *drag(0, 0, 9, 9), ENTER)
    assert session.phase is Phase.TRACK and session.tracked == 1
    assert "Draw a box" not in window.instructions(session, 0)[0]


def test_space_pauses_and_goes_on():
    paused = react(Session(Phase.TRACK, tracked=1), SPACE)
    assert paused.phase is Phase.PAUSE
    assert react(paused, SPACE).phase is Phase.TRACK


@pytest.mark.parametrize("phase", [Phase.TRACK, Phase.PAUSE])
def test_plus_keeps_the_objects_and_r_does_not(phase):
    session = Session(phase, tracked=2)
    added = after(session, PLUS, *drag(0, 0, 9, 9), ENTER)
    assert (added.phase, added.keeps, added.tracked) == (Phase.TRACK, True, 3)
    anew = after(session, ANEW, *drag(0, 0, 9, 9), ENTER)
    assert (anew.phase, anew.keeps, anew.tracked) == (Phase.TRACK, False, 1)
    # Enter without a new box goes on as before.
    for key in (PLUS, ANEW):
        same = after(session, key, ENTER)
        assert (same.phase, same.drawn, same.tracked) == (Phase.TRACK, (), 2)


def test_the_number_of_objects_stays_where_files_hold_them():
    session = Session(Phase.TRACK, tracked=2, is_fixed=True)
    refused = react(session, PLUS)
    assert refused.phase is Phase.TRACK
    assert "No object can be added" in window.instructions(refused, 0)[0]
    assert react(refused, SPACE).note == ""
    one = after(session, ANEW, *drag(0, 0, 9, 9), ENTER)
    assert one.phase is Phase.DRAW and "want 2" in window.instructions(one, 0)[0]
    assert after(one, *drag(20, 0, 29, 9), ENTER).phase is Phase.TRACK


def test_nothing_is_drawn_where_all_boxes_were_given():
    session = Session(Phase.TRACK, tracked=2, is_given=True)
    for key in (PLUS, ANEW):
        refused = react(session, key)
        assert refused.phase is Phase.TRACK
        assert "All boxes were given" in window.instructions(refused, 0)[0]
    keys = window.instructions(session, 0)[1]
    assert "Space pauses" in keys and "q ends" in keys
    assert "adds" not in keys and "anew" not in keys
    assert react(session, SPACE).phase is Phase.PAUSE
    assert react(session, QUIT).phase is Phase.END


def test_everything_ends_by_q_escape_or_closing():
    for phase in Phase:
        for event in (QUIT, ESCAPE, Closed()):
            ended = react(Session(phase, tracked=1), event)
            assert ended.phase is Phase.END
            assert react(ended, SPACE) == ended


def test_any_key_stops_the_live_picture():
    assert react(Session(Phase.PREVIEW), SPACE).phase is Phase.DRAW
    assert react(Session(Phase.PREVIEW), Move(3, 4)).phase is Phase.PREVIEW


def test_every_phase_says_which_keys_there_are():
    words = {
        Phase.PREVIEW: ["Enter", "q ends"],
        Phase.DRAW: ["Enter starts", "Backspace", "r draws anew", "q ends"],
        Phase.TRACK: ["Space pauses", "+ adds", "r draws anew", "q ends"],
        Phase.PAUSE: ["Space goes on", "+ adds", "r draws anew", "q ends"],
    }
    for phase, expected in words.items():
        keys = window.instructions(Session(phase, tracked=1), 7)[1]
        assert all(word in keys for word in expected)
    assert (
        window.instructions(Session(Phase.TRACK, tracked=1), 7)[0] == "Frame 7: tracking 1 object"
    )


def test_names_of_drawn_objects():
    assert window.numbered([], 2) == ["1", "2"]
    assert window.numbered(["anna", "2"], 4) == ["anna", "2", "1", "3"]
    assert window.numbered(["anna", "2"], 1) == ["anna"]


@pytest.mark.parametrize("shape", [(144, 176), (480, 640), (1080, 1920), (1280, 300)])
def test_the_instructions_fit_beneath_the_frame(shape):
    frame = np.full((*shape, 3), 90, np.uint8)
    for phase in (Phase.PREVIEW, Phase.DRAW, Phase.TRACK, Phase.PAUSE):
        picture = window.compose(frame, Session(phase), 0)
        factor = window.enlargement(shape[1])
        height, width = shape[0] * factor, shape[1] * factor
        assert width >= window.READABLE_WIDTH
        assert picture.shape[1] == width
        np.testing.assert_array_equal(picture[:height], 90)
        bar = picture[height:]
        half = len(bar) // 2
        for line in (bar[:half], bar[half:]):
            assert (line == 255).any()  # there are words in white
            assert not line[:, -2:].any()  # and they end before the edge


def test_what_is_drawn_joins_what_is_tracked():
    frame = np.zeros((480, 640, 3), np.uint8)
    tracked = np.array([[20, 100, 100, 100]], np.float32), np.array([0.9]), np.array([False])
    session = Session(Phase.DRAW, drawn=((400, 100, 100, 100),), tracked=1)

    def sides(session):
        picture = window.compose(frame, session, 0, tracked, ["anna"])
        return picture[150, 20].any(), picture[150, 400].any()

    assert sides(session._replace(keeps=True)) == (True, True)
    assert sides(session) == (False, True)  # drawn anew
    assert sides(Session(Phase.TRACK, tracked=1)) == (True, False)
    dragging = Session(Phase.DRAW, drag=((400, 100), (500, 200)), keeps=True)
    assert sides(dragging) == (True, True)


def test_no_display(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(ValueError, match="no display for a window; give the object with --box"):
        window.Window()
