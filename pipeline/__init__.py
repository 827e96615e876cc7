"""Everything around the models: data, training, inference, metrics, audits, tracking, report."""
