"""The light-enhancement curves: strengths of tones, and how they are applied."""
