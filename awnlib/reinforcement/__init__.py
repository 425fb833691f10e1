"""Games, the roll-outs of an agent in them, and what it learns from: proximal policy optimisation."""
