"""Settings: their ranges, their flags, their way to disk and back."""

import argparse
import dataclasses

import pytest

from siamfc_jax import config
from siamfc_jax.config import FIVE_SCALES, ModelConfig, TrackerConfig, TrainConfig

NAN = float("nan")


def test_defaults_are_the_authors():
    three = TrackerConfig()
    assert (three.num_scales, three.scale_step, three.scale_penalty) == (3, 1.0375, 0.9745)
    assert (three.scale_rate, three.window_influence, three.context) == (0.59, 0.176, 0.5)
    assert (FIVE_SCALES.num_scales, FIVE_SCALES.scale_step) == (5, 1.0255)
    assert (FIVE_SCALES.scale_penalty, FIVE_SCALES.scale_rate) == (0.962, 0.34)
    recipe = TrainConfig()
    assert (recipe.epochs, recipe.batch_size, recipe.pairs_per_epoch) == (50, 8, 53200)
    assert (recipe.learning_rate, recipe.final_learning_rate) == (1e-2, 1e-5)
    assert (recipe.momentum, recipe.weight_decay, recipe.max_gap) == (0.9, 5e-4, 100)
    # Ours alone, so off.
    assert recipe.flip == recipe.gray == recipe.blur == recipe.contrast == 0


@pytest.mark.parametrize(
    "cls, field, value, text",
    [
        (ModelConfig, "width", 0.0, r"width must lie in \(0, 1\], got 0.0"),
        (ModelConfig, "width", 1.5, r"width must lie in \(0, 1\], got 1.5"),
        (ModelConfig, "width", NAN, r"width must lie in \(0, 1\], got nan"),
        (ModelConfig, "first_kernel", 9, "first_kernel must be 7 or 11, got 9"),
        (TrackerConfig, "num_scales", 4, "num_scales must be odd and lie in 1..99, got 4"),
        (TrackerConfig, "num_scales", -1, "num_scales must be odd and lie in 1..99, got -1"),
        (TrackerConfig, "scales_on", "all", "scales_on must be search, peak or exemplar, got all"),
        (TrackerConfig, "scale_step", 0.9, r"scale_step must lie in \[1, 2\], got 0.9"),
        (TrackerConfig, "scale_step", NAN, r"scale_step must lie in \[1, 2\], got nan"),
        (TrackerConfig, "scale_penalty", 1.1, r"scale_penalty must lie in \[0, 1\], got 1.1"),
        (TrackerConfig, "scale_rate", -0.1, r"scale_rate must lie in \[0, 1\], got -0.1"),
        (TrackerConfig, "window_influence", NAN, r"window_influence must lie in \[0, 1\], got nan"),
        (TrackerConfig, "context", -0.5, r"context must lie in \[0, 10\], got -0.5"),
        (TrackerConfig, "context", NAN, r"context must lie in \[0, 10\], got nan"),
        (TrackerConfig, "min_scale", 1.2, r"must enclose 1 and lie in .*, got 1.2 and 5.0"),
        (TrackerConfig, "min_scale", 0.0, r"must enclose 1 and lie in .*, got 0.0 and 5.0"),
        (TrackerConfig, "max_scale", 0.5, r"must enclose 1 and lie in .*, got 0.2 and 0.5"),
        (TrackerConfig, "confidence_bias", NAN, r"confidence_bias must lie in \[-1e6, 1e6\], got"),
        (TrackerConfig, "lost_below", -0.1, r"lost_below must lie in \[0, 1\], got -0.1"),
        (TrackerConfig, "lost_after", 0, "lost_after must lie in 1..1000000, got 0"),
        (TrackerConfig, "num_scales", 101, "num_scales.* must .*, got "),
        (TrackerConfig, "scale_step", 1e30, "scale_step.* must .*, got "),
        (TrackerConfig, "context", 1e30, "context.* must .*, got "),
        (TrackerConfig, "max_scale", 1e30, "max_scale.* must .*, got "),
        (TrackerConfig, "min_scale", 1e-30, "min_scale and max_scale must .*, got "),
        (TrackerConfig, "confidence_share", 1e300, "confidence_share.* must .*, got "),
        (TrackerConfig, "lost_after", 2**31, "lost_after.* must .*, got "),
        (TrackerConfig, "found_above", 0.2, "must not be less than lost_below, got 0.2 and 0.3"),
        (TrainConfig, "epochs", 0, "epochs must be at least 1, got 0"),
        (TrainConfig, "pairs_per_epoch", 0, "pairs_per_epoch must be at least 1, got 0"),
        (TrainConfig, "batch_size", 0, "batch_size must be at least 1, got 0"),
        (TrainConfig, "max_gap", 0, "max_gap must be at least 1, got 0"),
        (TrainConfig, "accumulate", 0, "accumulate must be at least 1, got 0"),
        (TrainConfig, "keep", 0, "keep must be at least 1, got 0"),
        (TrainConfig, "learning_rate", -1.0, "learning_rate must be positive, got -1.0"),
        (TrainConfig, "learning_rate", NAN, "learning_rate must be positive, got nan"),
        (TrainConfig, "final_learning_rate", 0.0, "final_learning_rate must be positive, got 0.0"),
        (TrainConfig, "flip", 1.5, r"flip must lie in \[0, 1\], got 1.5"),
        (TrainConfig, "gray", -0.5, r"gray must lie in \[0, 1\], got -0.5"),
        (TrainConfig, "blur", 2.0, r"blur must lie in \[0, 1\], got 2.0"),
        (TrainConfig, "momentum", 1.0, r"momentum must lie in \[0, 1\), got 1.0"),
        (TrainConfig, "max_stretch", 1.0, r"max_stretch must lie in \[0, 1\), got 1.0"),
        (TrainConfig, "max_shift", -4.0, "max_shift must not be negative, got -4.0"),
        (TrainConfig, "radius", -1.0, "radius must not be negative, got -1.0"),
        (TrainConfig, "seed", -1, "seed must not be negative, got -1"),
        (TrainConfig, "weight_decay", -1.0, "weight_decay must not be negative, got -1.0"),
    ],
)
def test_values_out_of_range_are_refused(cls, field, value, text):
    with pytest.raises(ValueError, match=text):
        cls(**{field: value})


def parse(*argv):
    parser = argparse.ArgumentParser()
    config.add_arguments(parser, TrainConfig())
    config.add_arguments(parser, ModelConfig())
    return parser.parse_args(argv)


def test_flags_change_only_what_they_name():
    base = TrainConfig(epochs=3, flip=0.5)
    args = parse("--batch-size", "16", "--width", ".25", "--bfloat16", "--flip", "0")
    expected = dataclasses.replace(base, batch_size=16, bfloat16=True, flip=0.0)
    assert config.from_arguments(base, args) == expected
    assert config.from_arguments(ModelConfig(), args) == ModelConfig(width=0.25)
    assert config.from_arguments(base, parse()) == base
    assert config.from_arguments(expected, parse("--no-bfloat16")).bfloat16 is False


def test_flags_say_what_they_mean(capsys):
    with pytest.raises(SystemExit):
        parse("--help")
    text = " ".join(capsys.readouterr().out.split())
    assert "--scale-step" not in text
    for cls in (TrainConfig, ModelConfig):
        for field in dataclasses.fields(cls):
            assert "--" + field.name.replace("_", "-") in text
            shown = "off" if field.default is False else field.default
            assert f"(default: {shown})" in text
            assert field.metadata["unit"] or field.metadata["choices"] or field.default is False


def test_choices_and_the_defaults_of_a_model_are_shown(capsys):
    parser = argparse.ArgumentParser()
    config.add_arguments(parser, TrackerConfig(scale_rate=0.25), "Whose they are.")
    with pytest.raises(SystemExit):
        parser.parse_args(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "tracker settings: Whose they are. --num-scales N scales a frame" in text
    assert "--scales-on {search,peak,exemplar} what is cut" in text
    assert "in one frame (default: 0.25)" in text
    assert "for a lost object (default: off)" in text
    with pytest.raises(SystemExit):
        parser.parse_args(["--scales-on", "all"])
    args = parser.parse_args(["--redetect", "--lost-after", "3"])
    assert config.given(TrackerConfig, args) == ["lost_after", "redetect"]


@pytest.mark.parametrize("argv", [["--batch-sise", "8"], ["--batch-size", "8.5"]])
def test_a_wrong_flag_ends_the_command(argv, capsys):
    with pytest.raises(SystemExit) as stop:
        parse(*argv)
    assert stop.value.code == 2
    assert argv[0] in capsys.readouterr().err


def test_a_value_out_of_range_is_found_when_flags_are_read():
    with pytest.raises(ValueError, match="epochs must be at least 1"):
        config.from_arguments(TrainConfig(), parse("--epochs", "0"))


def test_json_returns_what_was_written():
    text = config.to_json(model=ModelConfig(width=0.3), tracker=FIVE_SCALES)
    found = config.from_json(text, model=ModelConfig, tracker=TrackerConfig)
    assert found == {"model": ModelConfig(width=0.3), "tracker": FIVE_SCALES}


def test_settings_that_a_file_does_not_know_yet_have_their_defaults():
    found = config.from_json('{"tracker": {"num_scales": 5}}', tracker=TrackerConfig)
    assert found["tracker"] == TrackerConfig(num_scales=5)


@pytest.mark.parametrize(
    "text, message",
    [
        ('{"tracker": {}}', r"config has no 'model', it has \['tracker'\]"),
        ('{"model": {"witdh": 1}}', r"unknown settings \['witdh'\] in 'model', known are"),
        ('{"model": {"width": 3}}', "width must lie in"),
    ],
)
def test_json_that_does_not_fit_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        config.from_json(text, model=ModelConfig)


def test_configs_are_hashable_so_that_they_can_be_static_under_jit():
    assert len({ModelConfig(), ModelConfig(width=1.0), TrackerConfig(), TrainConfig()}) == 3
