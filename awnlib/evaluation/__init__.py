"""What is measured of a trained network: width sweeps, BN statistics, their drift, the area under the curve."""
