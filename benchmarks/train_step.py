"""Times our training step against an equal one in PyTorch, on the CPU.

    python -m venv /tmp/torch && /tmp/torch/bin/pip install torch==2.13.0
    python benchmarks/train_step.py --torch /tmp/torch/bin/python

Both make the same step: batch 8, 127 and 239 px, float32, the same layers, the balanced
logistic loss and SGD with momentum. Rounds alternate, ours, PyTorch in its default layout,
PyTorch in channels_last, each in a process of its own that waits for its turn; the medians
are compared. Our step is also timed as train.py makes it: with its random crops, which
PyTorch's step lacks, and with one device a core; and layer by layer. About 5 minutes on
2 cores; leave the machine alone meanwhile.
"""

import argparse
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import figures  # noqa: E402

BATCH = 8
WARM_UPS = 2


def ours(width, first_kernel):
    """Returns name -> function that makes one of our steps."""
    import functools

    import jax
    import numpy as np
    import optax

    from siamfc_jax.compilation import keep_memory
    from siamfc_jax.config import ModelConfig, TrainConfig
    from siamfc_jax.network import model
    from siamfc_jax.training import augment, sgd

    keep_memory()  # as train.py does
    sgd.use_cores_as_devices(BATCH)  # as train.py does, too; `given_crops` runs on the first
    config = TrainConfig(batch_size=BATCH)
    network = ModelConfig(width=width, first_kernel=first_kernel)
    optimizer = sgd.make_optimizer(config)
    variables = model.init_variables(jax.random.key(0), config=network)
    state = sgd.create_state(variables, optimizer, config=config)
    rng = np.random.default_rng(0)
    z, x = (rng.uniform(0, 255, (BATCH, s, s, 3)).astype(np.float32) for s in (127, 239))
    crops = augment.Pairs(z, x, np.zeros((BATCH, 2), np.float32))
    tracks = np.arange(BATCH, dtype=np.int32)
    patches = rng.integers(0, 255, (2, BATCH, 319, 319, 3), np.uint8)
    batch = {"exemplar": patches[0], "search": patches[1], "track": tracks, "index": tracks}

    @jax.jit
    def given_crops(state, crops):
        loss = functools.partial(sgd.loss_fn, config=config)
        grads, (batch_stats, _) = jax.grad(loss, has_aux=True)(
            state.params, state.batch_stats, crops, tracks
        )
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        return sgd.TrainState(state.step + 1, params, batch_stats, opt_state)

    step = functools.partial(sgd.train_step, config=config, optimizer=optimizer)
    whole = sgd.parallelize(step)
    latest = sgd.replicate(jax.tree.map(np.array, state))  # each call gives away what it gets

    def as_train_py():
        nonlocal latest
        latest, *_ = whole(latest, (), sgd.split([batch]), np.float32(0))
        jax.block_until_ready(latest)

    return {
        "step": lambda: jax.block_until_ready(given_crops(state, crops)),
        "as train.py": as_train_py,
    }


def torch_steps(width, first_kernel, batch=BATCH):
    """Returns layout -> function that makes one step in PyTorch, on a GPU if it finds one."""
    import torch
    from torch import nn
    from torch.nn import functional

    device = "cuda" if torch.cuda.is_available() else "cpu"
    counts = [2 * max(1, round(count * width / 2)) for count in (96, 256, 384, 384, 256)]
    kernels = ((first_kernel, 2, 1), (5, 1, 2), (3, 1, 1), (3, 1, 2), (3, 1, 2))
    sizes = list(zip(counts, kernels, strict=True))
    rows = (torch.arange(15) - 7) * 8
    labels = (rows[:, None] ** 2 + rows[None] ** 2 <= 256).float().to(device)
    weights = torch.where(labels > 0, 0.5 / labels.sum(), 0.5 / (1 - labels).sum())

    def embedding():
        layers, depth = [], 3
        for number, (count, (kernel, stride, groups)) in enumerate(sizes, 1):
            layers.append(nn.Conv2d(depth, count, kernel, stride, groups=groups))
            if number < 5:
                layers += [nn.BatchNorm2d(count, eps=1e-4, momentum=0.05), nn.ReLU(inplace=True)]
            if number < 3:
                layers.append(nn.MaxPool2d(3, 2))
            depth = count
        return nn.Sequential(*layers)

    def make(layout):
        network = embedding().to(device, memory_format=layout)
        bias = nn.Parameter(torch.zeros((), device=device))
        optimizer = torch.optim.SGD(
            [*network.parameters(), bias], lr=1e-2, momentum=0.9, weight_decay=5e-4
        )
        z, x = (
            (torch.rand(batch, 3, side, side) * 255).to(device, memory_format=layout)
            for side in (127, 239)
        )

        def step():
            optimizer.zero_grad()
            exemplar, search = network(z), network(x)
            joined = search.reshape(1, -1, *search.shape[2:])
            # Grouped, so that each exemplar meets its own search.
            response = functional.conv2d(joined, exemplar, groups=batch)
            logits = 1e-3 * response.reshape(batch, 15, 15) + bias
            target = labels.expand_as(logits)
            losses = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
            (losses * weights).sum((1, 2)).mean().backward()
            optimizer.step()
            if device == "cuda":
                torch.cuda.synchronize()

        return step

    return {"default": make(torch.contiguous_format), "channels_last": make(torch.channels_last)}


def layer_functions(width, first_kernel, batch=BATCH, dtype="float32"):
    """Returns layer -> (forward, forward and gradients, operations) for a batch of search crops.

    The operations are those of a forward convolution by its definition; None for other layers.
    """
    sys.path.insert(0, str(ROOT))
    import jax
    import numpy as np

    from siamfc_jax.compilation import keep_memory
    from siamfc_jax.config import ModelConfig
    from siamfc_jax.network import model
    from siamfc_jax.network.convolution import convolve, max_pool

    keep_memory()
    rng = np.random.default_rng(0)

    def draw(*shape):
        return jax.numpy.asarray(rng.normal(size=shape), dtype)

    def both(function, *arrays, operations=None):
        forward = jax.jit(function)
        cotangent = forward(*arrays)

        @jax.jit
        def gradients(cotangent, *arrays):
            return jax.vjp(function, *arrays)[1](cotangent)

        return (
            lambda: jax.block_until_ready(forward(*arrays)),
            lambda: jax.block_until_ready(gradients(cotangent, *arrays)),
            operations,
        )

    def convolution(images, stride, groups):
        # The images of the first layer need no gradient.
        if stride == 2:
            return lambda kernel: convolve(images, kernel, stride, groups)
        return lambda kernel, images: convolve(images, kernel, stride, groups)

    found, images = {}, draw(batch, 239, 239, 3)
    counts = model.channels(ModelConfig(width=width, first_kernel=first_kernel))
    kernels = (first_kernel, *model.KERNELS[1:])
    for number, (count, size, groups) in enumerate(zip(counts, kernels, model.GROUPS, strict=True)):
        stride = 2 if number == 0 else 1
        kernel = draw(size, size, images.shape[-1] // groups, count)
        arrays = (kernel,) if number == 0 else (kernel, images)
        side = (images.shape[1] - size) // stride + 1
        operations = 2 * batch * side**2 * kernel.size
        call = convolution(images, stride, groups)
        found[f"conv{number + 1}"] = both(call, *arrays, operations=operations)
        images = draw(batch, side, side, count)
        if number < 2:
            found[f"pool{number + 1}"] = both(max_pool, images)
            side = (side - 3) // 2 + 1
            images = draw(batch, side, side, count)
    exemplar = draw(batch, 6, 6, counts[-1])
    found["correlation"] = both(model.cross_correlate, exemplar, images)
    return found


def serve(steps):
    """Makes the step named by each line of standard input, and answers with seconds."""
    for line in sys.stdin:
        name = line.strip()
        if name == "memory":
            print(figures.peak_memory() / 2**10, flush=True)
            continue
        start = time.perf_counter()
        steps[name]()
        print(time.perf_counter() - start, flush=True)


def ask(process, name) -> float:
    """Returns the answer of a process in `serve`."""
    process.stdin.write(name + "\n")
    process.stdin.flush()
    answer = process.stdout.readline()
    if not answer:
        raise SystemExit("error: a worker ended; see what it wrote above")
    return float(answer)


def compare(args):
    """Prints the medians of alternating steps, their ratios and our peak memory.

    Returns:
      name -> median milliseconds.
    """
    size = ["--width", str(args.width), "--first-kernel", str(args.first_kernel)]

    def start(python, role):
        return subprocess.Popen(
            [python, __file__, "--serve", role, *size],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    jax_worker = start(sys.executable, "jax")
    turns = [(jax_worker, "step"), (jax_worker, "as train.py")]
    if args.torch:
        torch_worker = start(args.torch, "torch")
        turns += [(torch_worker, "default"), (torch_worker, "channels_last")]
    seconds = {name: [] for _, name in turns}
    for number in range(WARM_UPS + args.rounds):
        for worker, name in turns:
            taken = ask(worker, name)
            if number >= WARM_UPS:
                seconds[name].append(taken)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    print(f"width {args.width}, first kernel {args.first_kernel}, {args.rounds} rounds, batch 8")
    for (worker, name), median in zip(turns, medians.values(), strict=True):
        who = "ours" if worker is jax_worker else "PyTorch"
        spread = f"{min(seconds[name]):.3f}..{max(seconds[name]):.3f}"
        ratio = f", ours is {median / medians['step']:.2f} x as fast" if who == "PyTorch" else ""
        print(f"{who:8}{name:14}{median:7.3f} s ({spread}), {BATCH / median:6.1f} pairs/s{ratio}")
    print(f"peak resident memory of our process: {ask(jax_worker, 'memory'):.2f} GiB")
    for worker in {worker for worker, _ in turns}:
        worker.stdin.close()
        worker.wait()
    return {name: 1e3 * median for name, median in medians.items()}


def print_layers(args):
    """Prints how long each layer takes, forwards and with its gradients."""
    print("layer          forward    gradients too   (8 searches of 239 px, ms)")
    for name, functions in layer_functions(args.width, args.first_kernel).items():
        taken = []
        for function in functions[:2]:
            times = []
            for _ in range(1 + args.rounds):
                start = time.perf_counter()
                function()
                times.append(time.perf_counter() - start)
            taken.append(1e3 * statistics.median(times[1:]))
        print(f"{name:14}{taken[0]:8.1f}{taken[1]:17.1f}")


def main(argv=None) -> int:
    """Runs the benchmark; returns its exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--torch", metavar="PYTHON", help="interpreter that has PyTorch")
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--first-kernel", type=int, default=11)
    parser.add_argument("--rounds", type=int, default=10)
    figures.add_flags(parser)
    parser.add_argument("--serve", choices=("jax", "torch"), help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.serve:
        steps = {"jax": ours, "torch": torch_steps}[args.serve]
        serve(steps(args.width, args.first_kernel))
        return 0
    milliseconds = compare(args)
    print_layers(args)
    figures.finish(args, milliseconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
