"""Studies: a configuration, its cells and jobs, the tables they leave; a folder for each kind."""
