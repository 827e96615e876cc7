"""One thin file per DVC stage: read params, call pipeline, write outputs."""
