"""SiamFC in JAX: track, train, evaluate."""
