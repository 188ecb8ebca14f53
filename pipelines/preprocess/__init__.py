"""The data-set job: reads a folder of images; writes TFRecord shards, `manifest.json` and `rejected.csv`."""
