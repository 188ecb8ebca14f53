"""A model applied to photos: how much light, the noise, the pixels."""
