"""Runs in MLflow: a journal on disk first, then the server; the only package that imports mlflow."""
