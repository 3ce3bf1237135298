"""How good predictions are: measures, calibration, and how sure one can be of a figure."""
