"""Arrays of pixels: their kinds, measures, and the fusion of exposures."""
