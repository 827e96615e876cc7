"""How near a network is to exploding: `measure/` is arithmetic on any bijection, `analyses/` applies it to a model."""
