"""The network: images in, features and logits out; its weights on disk.

`model` defines the embedding and the correlation in JAX, `convolution` and `winograd` are
the forms that a CPU computes fast. `checkpoints` stores models and training runs;
`weights` and `torch_files` read the models of others. Nothing here knows of frames or boxes.
"""
