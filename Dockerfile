# The image of a Beam worker: the SDK harness of the same Beam and Python, this package and its model.
FROM apache/beam_python3.11_sdk:2.77.0

WORKDIR /opt/zerodce
COPY setup.py pyproject.toml README.md LICENSE ./
COPY zerodce zerodce
COPY tfrecord_tools tfrecord_tools
COPY pipelines pipelines
# pyproject.toml bounds the versions
# hadolint ignore=DL3013
RUN pip install --no-cache-dir '.[heif,raw,aws,gcp]' \
    && python -c "from zerodce.inference.model import shipped; shipped()"

# the entry point is that of the base image: a worker. `python -m pipelines.worker_pool` is a pool of them.
