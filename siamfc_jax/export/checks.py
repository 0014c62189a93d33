"""What was exported beside the live model, on every frame of a clip."""

import functools

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import onnxruntime
from jax import export

from siamfc_jax.config import TrackerConfig
from siamfc_jax.crops import crop_pyramid
from siamfc_jax.geometry import (
    EXEMPLAR_SIZE,
    SEARCH_SIZE,
    STRIDE,
    exemplar_side,
    scale_factors,
)
from siamfc_jax.network import model
from siamfc_jax.tracking import peaks, tracker

# Largest differences that are let through. Rounding gives about 1e-6 of the features and of the
# logits, which are of the order of 1; a peak may fall on the neighbouring sample.
LIMITS = {
    "features": 1e-4,
    "logits": 1e-4,
    "maximum": 1e-4,
    "score": 1e-4,
    "offset": 1 / peaks.UPSAMPLING,
    "box": 0.1,
}


def make_clip(frames: int = 24, height: int = 180, width: int = 240):
    """Makes a clip of coarse and fine texture in which a patch moves and grows.

    Args:
      frames: how many.
      height: of a frame.
      width: of a frame.

    Returns:
      (list of u8[height, width, 3], the patch's box f32[4] in the first frame).
    """
    rng = np.random.default_rng(0)

    def texture(rows, columns):
        layers = (
            cv2.resize(
                rng.normal(size=(-(-rows // cell), -(-columns // cell), 3)).astype(np.float32),
                (columns, rows),
                interpolation=cv2.INTER_CUBIC,
            )
            for cell in (4, 16, 64)
        )
        return np.clip(128 + 35 * sum(layers), 0, 255).astype(np.uint8)

    scene, patch = texture(height, width), texture(50, 40)
    clip = []
    for number in range(frames):
        shown = cv2.resize(patch, (40 + number // 2, 50 + number // 2))
        left, top = 30 + 3 * number, 40 + number
        frame = scene.copy()
        frame[top : top + len(shown), left : left + shown.shape[1]] = shown
        clip.append(frame)
    return clip, np.array([30, 40, 40, 50], np.float32)


def compare_onnx(exemplar: bytes, search: bytes, params, clip, box, *, config: TrackerConfig):
    """Runs the graphs on the crops that the live tracker cuts.

    Args:
      exemplar: graph of `onnx_graphs.build_exemplar`, as in the file.
      search: graph of `onnx_graphs.build_search`.
      params: folded network parameters, from `tracker.prepare`.
      clip: list of u8[H, W, 3] RGB.
      box: f32[4] in the first frame.
      config: settings of the tracker.

    Returns:
      Name of an output -> its largest difference from the live model. That of `features` is
      in shares of the largest feature.
    """
    sessions = [
        onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        for graph in (exemplar, search)
    ]
    differences = dict.fromkeys(("features", "logits", "maximum", "score", "offset"), 0.0)

    def to_nchw(images):
        return np.asarray(images).transpose(0, 3, 1, 2)

    def note(name, ours, live):
        difference = float(np.max(np.abs(np.asarray(ours) - np.asarray(live))))
        differences[name] = max(differences[name], difference)

    state = tracker.init(params, clip[0], box, config=config)
    for frame in clip[1:]:
        crops, live = _search(params, frame, state, config=config)
        feed = {"crops": np.asarray(crops), "exemplar": to_nchw(state.exemplar)}
        for name, output in zip(live, sessions[1].run(list(live), feed), strict=True):
            note(name, output, live[name])
        state, box, _ = tracker.step(params, state, frame, config=config)
        shown = tracker.init(params, frame, box, config=config)
        features = to_nchw(shown.exemplar)
        (output,) = sessions[0].run(
            ["features"], {"crops": to_nchw(_exemplar(frame, shown, config=config))}
        )
        note("features", output / np.abs(features).max(), features / np.abs(features).max())
    return differences


@functools.partial(jax.jit, static_argnames="config")
def _search(params, frame, state, *, config):
    """Returns the search crops [S, 3, 255, 255] and what the live model says of them."""
    factors = scale_factors(config.num_scales, step=config.scale_step)
    sides = exemplar_side(state.size, context=config.context) * factors
    sides = sides * (SEARCH_SIZE / EXEMPLAR_SIZE)
    crops = crop_pyramid(frame, state.center, sides, state.fill, size=SEARCH_SIZE)
    response = model.cross_correlate_all(state.exemplar, model.embed(params, crops))[0]
    logits = model.adjust(params, response)  # [S, 17, 17]
    # A square of one cell a pixel, so that the shift is the offset in cells.
    sides = jnp.full((1, 1), SEARCH_SIZE / STRIDE)
    peak = peaks.find_peak(logits[:, None], sides, config=config)  # each scale alone
    matrix = peaks.cubic_matrix(logits.shape[-1])
    fine = jnp.einsum("ur,srq,vq->suv", matrix, logits, matrix, precision="highest")
    live = {
        "logits": logits,
        "maximum": fine.max((1, 2)),
        "score": peak.score,
        "offset": peak.shift,
    }
    return crops.transpose(0, 3, 1, 2), live  # NHWC -> NCHW


@functools.partial(jax.jit, static_argnames="config")
def _exemplar(frame, state, *, config):
    """Returns the crop f32[1, 127, 127, 3] that shows an object as an exemplar."""
    side = exemplar_side(state.size, context=config.context)
    return crop_pyramid(frame, state.center, side[None], state.fill, size=EXEMPLAR_SIZE)


def compare_programs(init: bytes, step: bytes, params, clip, box, *, config: TrackerConfig):
    """Tracks the clip with the exported programs and with the live tracker.

    Args:
      init: program of `stablehlo.export_tracker`.
      step: program of `stablehlo.export_tracker`.
      params: folded network parameters, from `tracker.prepare`.
      clip: list of u8[H, W, 3] RGB.
      box: f32[4] in the first frame.
      config: settings of the tracker.

    Returns:
      Name of an output -> its largest difference from the live tracker.
    """
    first, following = (
        jax.jit(export.deserialize(bytearray(program)).call) for program in (init, step)
    )
    box = np.float32(box)
    state, live = first(clip[0], box), tracker.init(params, clip[0], box, config=config)
    differences = {"box": 0.0, "score": 0.0}
    for frame in clip[1:]:
        state, *ours = following(state, frame)
        live, *expected = tracker.step(params, live, frame, config=config)
        for name, one, other in zip(("box", "score"), ours, expected, strict=True):
            differences[name] = max(differences[name], float(np.max(np.abs(one - other))))
    return differences


def check_limits(name: str, differences: dict[str, float]) -> None:
    """Refuses what differs too much.

    Args:
      name: of the file.
      differences: output -> largest difference.

    Raises:
      ValueError: one is over its limit, or is no number.
    """
    for output, difference in differences.items():
        if not difference <= LIMITS[output]:  # NaN is over it as well
            raise ValueError(
                f"{name} is not written: its {output} differs by {difference:.2g} from that of the "
                f"live model, at most {LIMITS[output]:g} is accepted; please report this"
            )
