"""What leaves the laboratory: a width as a plain network, answers that widen while time is left."""
