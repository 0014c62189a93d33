"""What several tests of the evaluation use."""

import pytest
import tiny_networks
from square_videos import SETTINGS

from siamfc_jax.network.saved_models import Model, save_model


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """A model folder of a tiny net that matches pixels; tests only read it."""
    path = tmp_path_factory.mktemp("weights") / "tiny"
    save_model(path, Model(tiny_networks.pixels(30), tiny_networks.CONFIG, SETTINGS))
    return str(path)
