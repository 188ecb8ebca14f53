"""Ways to brighten, measured side by side."""
