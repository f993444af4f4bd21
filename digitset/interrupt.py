"""Ctrl-C that waits for a good moment."""

import signal
import threading
from typing import Self


class Interrupt:
    """A context in which the first Ctrl-C only sets `asked`, and the second raises KeyboardInterrupt.

    Outside the main thread, where Python takes no signals, it changes nothing.
    """

    def __enter__(self) -> Self:
        self.asked = False
        self.main = threading.current_thread() is threading.main_thread()
        if self.main:
            self.before = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(self, *error: object) -> None:
        if self.main:
            signal.signal(signal.SIGINT, self.before)

    def _ask(self, number: int, frame: object) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
