"""The commands of ``steadyflow``, a module per group: its ``register`` adds parsers, its functions run them."""
