"""The command `zerodce try`: shows what several settings make of a few photos, on one page to choose from."""
