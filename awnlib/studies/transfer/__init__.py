"""Studies of width transfer: search, carry over, train again."""
