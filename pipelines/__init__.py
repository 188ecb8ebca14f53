"""The two Beam jobs (`preprocess`, `enhance`) and the `zerodce` command line."""
