"""The network: images in, features and logits out; its weights on disk.

`model` defines the embedding and the correlation in JAX; `convolution` and `winograd` are the
forms that a CPU computes fast; `widening` puts a trained network into a wider one, `narrowing`
leaves channels out of one. `saved_models` stores models and loads them, also from training runs,
whose folders `run_folders` describes. `weights` and `torch_files` read the weights of others.
Nothing here knows of frames or boxes.
"""
