"""The signal that ends a local job. The photos or shards in flight are finished first."""

import threading

STOP = threading.Event()
"""Set this event to end a local job."""


class StoppedError(Exception):
    """The user or the command asked the job to end."""
