"""Signals that ask a run to end: it saves first. The second one ends it at once.

SIGINT is Ctrl-C, and the stop button of a notebook, where it arrives as KeyboardInterrupt; SIGTERM is what a scheduler,
a container or a shutdown sends; SIGHUP comes when a terminal or a connection closes, and Windows has none.
"""

import contextlib
import signal
import threading

NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


class Ended(BaseException):
    """Raised by a run that has saved because it was asked to end; `held` turns it into what the signal means."""


class Held:
    """The signal that waits for the run to save, or none."""

    def __init__(self, say=print, at_once=True):
        self.asked, self.before, self._say, self._at_once = None, {}, say, at_once

    @property
    def name(self):
        """Of the signal that came, such as "SIGTERM"."""
        return "a signal to another process" if self.asked is None else signal.Signals(self.asked).name

    def take(self, number, frame):
        """Note the first signal; let the second do what it does without us."""
        if self.asked is not None:
            if self._at_once:
                self.give_back()
                signal.raise_signal(number)
            return
        self.asked = number
        with contextlib.suppress(RuntimeError):  # it may have come in the middle of a print
            self._say(f"{self.name}: this step is finished and saved first; a second one ends the run at once.")

    def give_back(self):
        """Put back the handlers that were there before."""
        while self.before:
            signal.signal(*self.before.popitem())


@contextlib.contextmanager
def held(say=print, at_once=True):
    """Inside, a signal waits: the run looks at `asked` between two steps, saves and raises Ended.

    A signal that is ignored outside, as under nohup, stays ignored; in a thread, where Python sets no handlers, nothing
    is held.

    Args:
        say: receives one line when a signal comes.
        at_once: whether a second signal ends the run; False under torchrun, which sends each signal twice.

    Yields:
        A Held.
    """
    waiting, ended = Held(say, at_once), False
    try:
        if threading.current_thread() is threading.main_thread():
            for number in (getattr(signal, name) for name in NAMES if hasattr(signal, name)):
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    waiting.before[number] = signal.signal(number, waiting.take)
        yield waiting
    except Ended:
        ended = True
    finally:
        waiting.give_back()
    if waiting.asked is not None:
        signal.raise_signal(waiting.asked)
    if ended or waiting.asked is not None:
        raise KeyboardInterrupt  # where a handler of someone else let it pass, or another process has met the signal
