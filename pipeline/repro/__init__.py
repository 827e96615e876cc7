"""``steadyflow repro``: DVC's stages, independent ones side by side, on DVC's own graph and locks."""
