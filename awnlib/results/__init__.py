"""What tables and figures are made of; neither torch nor a paper is known here."""
