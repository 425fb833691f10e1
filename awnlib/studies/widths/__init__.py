"""Studies of networks of selectable width: train, recalibrate, sweep."""
