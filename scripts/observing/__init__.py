"""The platform watched as an operator would: a real Prometheus, a load, every query of the dashboards and alerts."""
