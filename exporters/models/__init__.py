"""From a table to a trained model: feature program, algorithms, baselines, calibration."""
