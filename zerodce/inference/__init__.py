"""Runs saved networks on NumPy and OpenCV, so that enhancing needs neither Keras nor TensorFlow."""
