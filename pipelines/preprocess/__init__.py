"""The data-set job: a folder of images in; TFRecord shards, `manifest.json` and `rejected.csv` out."""
