"""The networks by name."""

from collections.abc import Callable

import keras

from zerodce.networks.dce_net import dce_net
from zerodce.networks.tone_net import tone_net

ARCHITECTURES: dict[str, Callable[..., keras.Model]] = {"dce_net": dce_net, "tone_net": tone_net}
"""The networks by name."""
