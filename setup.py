"""What Beam's `--setup_file` takes to install the package on remote workers; all metadata is in pyproject.toml."""

from setuptools import setup

setup()
