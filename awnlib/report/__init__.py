"""What readers get: reports, published results, the pages of the documentation that are generated."""
