"""The archive job: reads a folder of dark photos; writes enhanced photos, autocontrast baselines and a row for each."""
