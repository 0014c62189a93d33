"""An archive of tiny videos."""

import tiny_networks
from square_videos import SETTINGS, write_frames

from siamfc_jax.network.saved_models import Model, save_model

BOX = "10,16,16,16"


def make_archive(folder):
    """Makes a model, two clips of squares and a manifest, of which one line is wrong."""
    model = Model(tiny_networks.pixels(30), tiny_networks.CONFIG, SETTINGS)
    save_model(folder / "model", model)
    write_frames(folder / "clips" / "a", 6)
    write_frames(folder / "clips" / "b", 4)
    lines = [
        "source,boxes,name",
        f'clips/a,"{BOX}",first/a',
        'clips/b,"10,16,16,16; 9,15,18,18",b',
        f'clips/c,"{BOX}",',
        "clips/b,boxes.csv,from_file",
    ]
    (folder / "jobs.csv").write_text("\n".join(lines) + "\n")
    (folder / "boxes.csv").write_text("x,y,w,h\n10,16,16,16\n")
    return folder
