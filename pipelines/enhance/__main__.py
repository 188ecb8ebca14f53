"""`python -m pipelines.enhance --input PHOTOS --output OUT [options] [Beam options]`."""

from pipelines.enhance.options import enhance
from pipelines.options import run_as_module

if __name__ == "__main__":
    run_as_module(enhance)
