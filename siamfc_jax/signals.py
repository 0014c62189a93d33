"""What signals do to a run, and what the end of a process does to its workers."""

import contextlib
import os
import signal
import threading


class Stopped(Exception):  # noqa: N818, not an error
    """Says that a run was asked to stop, has saved, and ended before its last step.

    Attributes:
      signal: number of the signal that asked.
    """

    def __init__(self, step: int, caught: list):
        """Takes the last step and the caught signals: none if another host was asked."""
        super().__init__(f"stopped and saved at step {step}; the same command goes on from there")
        self.signal = caught[0] if caught else signal.SIGTERM


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP came: ends what Ctrl-C ends.

    Attributes:
      signal: which of them.
    """

    def __init__(self, number: int = signal.SIGTERM):
        """Takes the number of the signal."""
        super().__init__()
        self.signal = number


def ending_signals() -> list[int]:
    """Returns the signals that ask a process to end, besides Ctrl-C.

    SIGHUP comes when a terminal is closed; nohup lets it be ignored, and so it stays.
    """
    numbers: list[int] = [signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        numbers.append(signal.SIGHUP)  # not on Windows
    return numbers


@contextlib.contextmanager
def terminated():
    """Turns SIGTERM and SIGHUP into `Terminated`: files are closed, one line says what happened.

    Only the main thread of a process may do so; in others nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number, _frame):
        raise Terminated(number)

    before = {number: signal.signal(number, end) for number in ending_signals()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def caught_signals():
    """Yields a list that receives the number of a signal to end; a second one interrupts.

    In another thread than the main one of a process the list stays empty.
    """
    caught: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield caught
        return

    def catch(number, _frame):
        if caught:
            raise KeyboardInterrupt
        caught.append(number)

    numbers = [signal.SIGINT, *ending_signals()]
    before = {number: signal.signal(number, catch) for number in numbers}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def follow_parent(*ignored: int) -> None:
    """Ends this worker process when its parent ends, and ignores some signals until then.

    Args:
      *ignored: numbers of the signals that are not for this process.
    """
    import multiprocessing.connection  # here, as commands start without it

    for number in ignored:
        signal.signal(number, signal.SIG_IGN)

    parent = multiprocessing.parent_process()
    assert parent is not None, "this is no worker process"

    def end():
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=end, daemon=True).start()
