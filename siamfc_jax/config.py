"""Every setting with its unit, default and source, and the flags made from them.

Defaults that are a choice of science are those of the authors' code
(bertinetto/siamese-fc); the file is named beside the field.
"""

import argparse
import dataclasses
import json
from typing import ClassVar


def _setting(default, text, unit=None, choices=None, parse=None):
    """Makes a field; the help shows `unit` as the placeholder of its value, or its choices.

    `parse` makes the value from the words of a flag; by default the type of the default does.
    """
    metadata = {"help": text, "unit": unit, "choices": choices, "parse": parse}
    return dataclasses.field(default=default, metadata=metadata)


def _counts(text):
    return tuple(int(count) for count in text.split(","))


def _check(config, names, accepted, text):
    # `accepted` returns True for valid values; NaN fails every comparison and is rejected.
    for name in names.split():
        value = getattr(config, name)
        if not accepted(value):
            raise ValueError(f"{name} must {text}, got {value}")


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The network: the paper's by default.

    A first kernel of 7 costs 2.5 times less than 11 in the layer that is most of a
    narrow network's cost, and gives the same feature sizes and stride.
    """

    TITLE: ClassVar = "network"
    width: float = _setting(
        1.0, "share of the paper's channels in every layer, (0, 1]", unit="SHARE"
    )
    first_kernel: int = _setting(11, "side of the first layer's kernel", choices=(11, 7))
    channels: tuple[int, ...] = _setting(
        (),
        "output channels of the five layers, each even; overrides width",
        unit="A,B,C,D,E",
        parse=_counts,
    )

    def __post_init__(self):
        object.__setattr__(self, "channels", tuple(self.channels))  # a list, if read from JSON
        if self.channels and (
            len(self.channels) != 5 or any(count < 2 or count % 2 for count in self.channels)
        ):
            raise ValueError(f"channels must be five even numbers, got {self.channels}")
        _check(self, "width", lambda value: 0 < value <= 1, "lie in (0, 1]")
        _check(self, "first_kernel", (7, 11).__contains__, "be 7 or 11")


@dataclasses.dataclass(frozen=True)
class TrackerConfig:
    """How a frame becomes a box: SiamFC-3s (tracking/tracker.m) by default."""

    TITLE: ClassVar = "tracker settings"
    num_scales: int = _setting(3, "scales a frame, odd", unit="N")
    scales_on: str = _setting(
        "search", "what is cut at all scales", choices=("search", "peak", "exemplar")
    )
    scale_step: float = _setting(1.0375, "ratio between neighbouring scales", unit="RATIO")
    scale_penalty: float = _setting(
        0.9745, "factor on the response of every scale but the middle", unit="FACTOR"
    )
    scale_rate: float = _setting(
        0.59, "share of a scale change taken over in one frame", unit="SHARE"
    )
    window_influence: float = _setting(0.176, "weight of the cosine window", unit="0..1")
    context: float = _setting(
        0.5, "margin around the box, in shares of (w + h) / 2 a side", unit="SHARE"
    )
    min_scale: float = _setting(0.2, "smallest box, in shares of the first one", unit="FACTOR")
    max_scale: float = _setting(5.0, "largest box, in shares of the first one", unit="FACTOR")
    # Of the shipped network, for models that were not calibrated; calibration.py.
    confidence_score: float = _setting(
        0.0, "of the confidence's logit: weight of the score", unit="NUMBER"
    )
    confidence_share: float = _setting(
        10.9, "weight of the score's share of the exemplar's response to itself", unit="NUMBER"
    )
    confidence_bias: float = _setting(-7.8, "constant of the confidence's logit", unit="NUMBER")
    lost_below: float = _setting(0.3, "confidence under which the object may be lost", unit="0..1")
    lost_after: int = _setting(2, "frames in a row below that make it lost", unit="FRAMES")
    found_above: float = _setting(0.5, "confidence over which it is found again", unit="0..1")
    redetect: bool = _setting(False, "search the whole frame for a lost object")

    def __post_init__(self):
        # Upper bounds are beyond all use; with less, float32 numbers stay finite.
        odd = "be odd and lie in 1..99"
        _check(self, "num_scales", lambda value: 0 < value < 100 and value % 2, odd)
        places = "search", "peak", "exemplar"
        _check(self, "scales_on", places.__contains__, "be search, peak or exemplar")
        _check(self, "scale_step", lambda value: 1 <= value <= 2, "lie in [1, 2]")
        shares = "scale_penalty scale_rate window_influence lost_below found_above"
        _check(self, shares, lambda value: 0 <= value <= 1, "lie in [0, 1]")
        _check(self, "context", lambda value: 0 <= value <= 10, "lie in [0, 10]")
        weights = "confidence_score confidence_share confidence_bias"
        _check(self, weights, lambda value: abs(value) <= 1e6, "lie in [-1e6, 1e6]")
        _check(self, "lost_after", lambda value: 1 <= value <= 1e6, "lie in 1..1000000")
        if self.found_above < self.lost_below:
            raise ValueError(
                "found_above must not be less than lost_below, "
                f"got {self.found_above} and {self.lost_below}"
            )
        if not 1e-3 <= self.min_scale <= 1 <= self.max_scale <= 1e3:
            raise ValueError(
                "min_scale and max_scale must enclose 1 and lie in [0.001, 1000], "
                f"got {self.min_scale} and {self.max_scale}"
            )


# The authors' five-scale setting (tracking/params-5s.txt).
FIVE_SCALES = TrackerConfig(
    num_scales=5, scale_step=1.0255, scale_penalty=0.962, scale_rate=0.34, window_influence=0.168
)


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Training recipe of the authors (training/experiment.m)."""

    TITLE: ClassVar = "training recipe"
    epochs: int = _setting(50, "passes of pairs-per-epoch pairs", unit="N")
    pairs_per_epoch: int = _setting(53200, "pairs drawn in one epoch", unit="PAIRS")
    batch_size: int = _setting(8, "pairs a step, over all devices", unit="PAIRS")
    learning_rate: float = _setting(1e-2, "rate of the first epoch", unit="RATE")
    final_learning_rate: float = _setting(
        1e-5, "rate of the last epoch; geometric in between", unit="RATE"
    )
    cosine: bool = _setting(False, "let the rate fall as half a cosine, a little with every step")
    warmup_steps: int = _setting(
        0, "steps over which the rate rises from 0 at the beginning", unit="STEPS"
    )
    ema_decay: float = _setting(
        0.0,
        "decay of the exponential mean of the weights, which is then the model; 0 for none",
        unit="FACTOR",
    )
    momentum: float = _setting(0.9, "SGD momentum", unit="FACTOR")
    weight_decay: float = _setting(5e-4, "decay of convolution kernels", unit="FACTOR")
    max_gap: int = _setting(100, "largest distance in frames within a pair", unit="FRAMES")
    radius: float = _setting(
        16.0, "distance in search pixels up to which a cell is positive", unit="PIXELS"
    )
    max_shift: float = _setting(
        4.0, "random shift of the search crop, in search pixels", unit="PIXELS"
    )
    max_stretch: float = _setting(0.05, "random stretch of each side, as a share", unit="SHARE")
    color_jitter: float = _setting(
        0.1, "standard deviation of the PCA colour shift", unit="DEVIATION"
    )
    contrast: float = _setting(
        0.0, "standard deviation of the logarithm of contrast and brightness", unit="DEVIATION"
    )
    flip: float = _setting(0.0, "probability of a mirrored pair", unit="0..1")
    gray: float = _setting(0.0, "probability of a grey pair", unit="0..1")
    blur: float = _setting(0.0, "probability of a smoothed image", unit="0..1")
    batch_negatives: float = _setting(
        0.0, "weight of every exemplar against the other searches of its batch", unit="WEIGHT"
    )
    distillation: float = _setting(
        1.0, "weight of the teachers' logits, if there is a teacher", unit="WEIGHT"
    )
    save_every: int = _setting(
        500, "steps from one checkpoint to the next; each epoch ends in one", unit="STEPS"
    )
    keep: int = _setting(3, "latest checkpoints to keep, beside the best", unit="N")
    steps_per_call: int = _setting(
        1, "steps that the device makes before the host hears of them", unit="STEPS"
    )
    bfloat16: bool = _setting(False, "compute in bfloat16; parameters and loss stay float32")
    accumulate: int = _setting(1, "micro-batches whose gradients make one step", unit="N")
    seed: int = _setting(0, "seed of everything random", unit="N")

    def __post_init__(self):
        counts = (
            "epochs pairs_per_epoch batch_size max_gap save_every keep accumulate steps_per_call"
        )
        _check(self, counts, lambda value: value >= 1, "be at least 1")
        _check(self, "learning_rate final_learning_rate", lambda value: value > 0, "be positive")
        _check(self, "flip gray blur", lambda value: 0 <= value <= 1, "lie in [0, 1]")
        _check(
            self, "momentum max_stretch ema_decay", lambda value: 0 <= value < 1, "lie in [0, 1)"
        )
        others = "weight_decay radius max_shift color_jitter contrast batch_negatives distillation"
        _check(self, others + " warmup_steps seed", lambda value: value >= 0, "not be negative")


def add_arguments(parser: argparse.ArgumentParser, config, description=None) -> None:
    """Adds a flag for each field of a config.

    Args:
      parser: what gets the flags; `scale_step` becomes `--scale-step`.
      config: a config; the help shows its values as the defaults. A flag's type is the type of
        its value.
      description: a sentence below the title of the group of flags, None for no sentence.
    """
    group = parser.add_argument_group(config.TITLE, description)
    for field in dataclasses.fields(config):
        default, choices = getattr(config, field.name), field.metadata["choices"]
        shown = {True: "on", False: "off"}[default] if isinstance(default, bool) else default
        kind = (
            {"action": argparse.BooleanOptionalAction}
            if isinstance(default, bool)
            else {
                "type": field.metadata["parse"] or type(default),
                "metavar": field.metadata["unit"],
                "choices": choices,
            }
        )
        group.add_argument(
            _flag(field.name),
            default=argparse.SUPPRESS,
            help=f"{field.metadata['help']} (default: {shown})",
            **kind,
        )


def _flag(name):
    return "--" + name.replace("_", "-")


def given(cls, args: argparse.Namespace) -> list[str]:
    """Returns the names of the settings that flags were given for.

    Args:
      cls: config class, or a config.
      args: what a parser prepared by `add_arguments` returned.
    """
    return [field.name for field in dataclasses.fields(cls) if hasattr(args, field.name)]


def from_arguments(base, args: argparse.Namespace):
    """Returns `base`, a config, with the flags that were given put in.

    Args:
      base: a config whose fields stand where no flag was given.
      args: what a parser prepared by `add_arguments` returned.

    Returns:
      A config of the class of `base`.

    Raises:
      ValueError: a value is out of range; the text names it.
    """
    return dataclasses.replace(base, **{name: getattr(args, name) for name in given(base, args)})


def to_json(**configs) -> str:
    """Returns configs as JSON text, one object a keyword."""
    return json.dumps({name: dataclasses.asdict(c) for name, c in configs.items()}, indent=2)


def from_json(text: str, **classes) -> dict:
    """Reads what `to_json` wrote.

    Args:
      text: JSON object of objects.
      **classes: keyword -> config class to read under that keyword.

    Returns:
      keyword -> config.

    Raises:
      ValueError: a keyword is missing, a field is unknown, of another type or out of range.
    """
    try:
        data = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    if not isinstance(data, dict):
        raise ValueError("it is no object of objects")
    configs = {}
    for name, cls in classes.items():
        if name not in data:
            raise ValueError(f"config has no '{name}', it has {sorted(data)}")
        if not isinstance(data[name], dict):
            raise ValueError(f"'{name}' is no object")
        known = {field.name: field.default for field in dataclasses.fields(cls)}
        unknown = sorted(data[name].keys() - known.keys())
        if unknown:
            raise ValueError(f"unknown settings {unknown} in '{name}', known are {sorted(known)}")
        for key, value in data[name].items():
            if not _has_type_of(value, known[key]):
                raise ValueError(
                    f"{key} in '{name}' must be like {known[key]!r}, got {str(value)[:80]}"
                )
        configs[name] = cls(**data[name])
    return configs


def _has_type_of(value, default):
    """Says whether a value of JSON can stand where a default does."""
    if isinstance(default, tuple):
        return isinstance(value, list) and all(type(count) is int for count in value)
    if isinstance(default, float):
        return type(value) in (int, float)
    return type(value) is type(default)
