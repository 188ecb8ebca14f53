"""The archive job: a folder of dark photos in; enhanced photos, autocontrast baselines and a row for each out."""
