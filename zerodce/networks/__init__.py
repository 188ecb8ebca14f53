"""The networks by name. A new network is one class and one entry here."""

from zerodce.networks.architecture import Architecture
from zerodce.networks.dce_net import DCENet
from zerodce.networks.tone_net import ToneNet

ARCHITECTURES: dict[str, Architecture] = {"dce_net": DCENet(), "tone_net": ToneNet()}
