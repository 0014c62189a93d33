"""The commands: `siamfc track`, `siamfc train` and so on, a file each.

A file of this folder has the words of its command (`add_arguments`), what it refuses of them
(`check`), what it does (`run`), and what it says when it is stopped (`STOPPED`). None imports
JAX before its words have been checked, so that help and wrong words are answered at once.
`shell` is what all share: it reads the words, sets JAX up, and turns errors and signals into
one line and an exit code. `flags` has the flags that several commands take.
"""
