"""Runs train.py and sends it a signal at the N-th file operation in its workdir.

    python tests/made/interrupted_train.py SIGNAL OPERATION N [flags of train.py]

OPERATION is the name of an audit event, or `any`; with N = 0 nothing is sent, and the
number of operations is written to standard error at the end.
"""

import itertools
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

OPERATIONS = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree")


def main():
    """Runs the command."""
    number, operation, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    args = sys.argv[4:]
    workdir = args[args.index("--workdir") + 1]
    operations = OPERATIONS if operation == "any" else (operation,)
    counter, last = itertools.count(1), 0

    def watch(event, arguments):
        nonlocal last
        if event in operations and workdir in str(arguments[0]):
            last = next(counter)
            if last == count:
                os.kill(os.getpid(), number)

    sys.addaudithook(watch)
    import plain_forms

    import train
    from siamfc_jax.training import loop

    plain_forms.use()
    loop.MEASURED_STEPS = 2  # at the end, of speeds that no test asks for

    code = train.main(args)
    print(f"{last} operations", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
