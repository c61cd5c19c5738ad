"""The edge: lets people and programs in and gives the results back. No model code."""
