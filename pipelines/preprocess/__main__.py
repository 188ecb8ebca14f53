"""`python -m pipelines.preprocess --input DATA --output OUT [options] [Beam options]`."""

from pipelines.options import run_as_module
from pipelines.preprocess.options import preprocess

if __name__ == "__main__":
    run_as_module(preprocess)
