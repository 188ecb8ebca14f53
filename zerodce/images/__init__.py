"""Arrays of pixels: their kinds, how they are measured, how exposures are fused."""
