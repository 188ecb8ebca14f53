"""The model elsewhere: one graph of the network and the curves, in the formats of other runtimes."""
