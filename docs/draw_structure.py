"""Draws the structure of siamfc_jax from its imports: docs/pictures/structure.svg.

    python docs/draw_structure.py [--root OTHER_CHECKOUT]

A room is a folder of the package; its files stand in its box. Each arrow is one folder
importing from another, and its two ends are its id in the picture, which a test compares with
the imports. With --root nothing is drawn; the counts of that checkout are printed.
"""

import argparse
import ast
import collections
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "pictures" / "structure.svg"
# Files at the top of the package; every room may import them, so their arrows are not drawn.
FOUNDATION = "siamfc_jax"
COMMANDS = "commands"  # that folder, and the scripts beside the package


def room_files(root: pathlib.Path) -> dict[str, list[pathlib.Path]]:
    """Returns room -> its Python files, of a checkout.

    The package's face, `__init__.py` and `__main__.py` at its top, is left out: it leads to
    everything and is imported by name only.
    """
    rooms = collections.defaultdict(list)
    package = root / "siamfc_jax"
    for path in sorted(package.rglob("*.py")):
        inside = path.relative_to(package).parts
        if inside in (("__init__.py",), ("__main__.py",)):
            continue
        rooms[inside[0] if len(inside) > 1 else FOUNDATION].append(path)
    for path in sorted(root.glob("*.py")):
        rooms[COMMANDS].append(path)
    return dict(rooms)


def face(root: pathlib.Path) -> dict[str, str]:
    """Returns public name of the package -> where it is defined, both as dotted names."""
    path = root / "siamfc_jax" / "__init__.py"
    tree = ast.parse(path.read_text(encoding="utf-8")) if path.exists() else ast.Module([], [])
    return {
        f"siamfc_jax.{alias.name}": f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module.startswith("siamfc_jax.")
        for alias in node.names
    }


def imports(path: pathlib.Path) -> set[str]:
    """Returns the dotted names below siamfc_jax that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.split(".")[0] == "siamfc_jax"}


def arrows(root: pathlib.Path) -> set[tuple[str, str]]:
    """Returns (room, room that it imports from), the foundation left out."""
    rooms, public = room_files(root), face(root)
    return {
        (room, name.split(".")[1])
        for room, paths in rooms.items()
        for path in paths
        for name in (public.get(name, name) for name in imports(path))
        if name.count(".") and name.split(".")[1] in rooms and name.split(".")[1] != room
    }


def file_arrows(root: pathlib.Path) -> set[tuple[str, str]]:
    """Returns (file, file that it imports), as dotted names without `siamfc_jax.`."""
    names, public = {}, face(root)
    for paths in room_files(root).values():
        for path in paths:
            parts = path.relative_to(root).with_suffix("").parts
            names[".".join(parts).removeprefix("siamfc_jax.")] = path
    found = set()
    for name, path in names.items():
        for imported in imports(path):
            target = public.get(imported, imported).removeprefix("siamfc_jax.")
            target = target if target in names else target.rpartition(".")[0]
            if target in names and target != name:
                found.add((name, target))
    return found


def floors(edges: set[tuple[str, str]]) -> dict[str, int]:
    """Returns node -> the length of the longest chain of imports below it.

    Raises:
      ValueError: imports run in a circle.
    """
    below = collections.defaultdict(set)
    for start, end in edges:
        below[start].add(end)
    heights = {}

    def height(node, above=()):
        if node in above:
            raise ValueError(f"imports run in a circle: {' -> '.join([*above, node])}")
        if node not in heights:
            heights[node] = max((height(n, (*above, node)) + 1 for n in below[node]), default=0)
        return heights[node]

    for start, end in sorted(edges):  # so that a circle has one name
        height(start), height(end)
    return heights


def report(root: pathlib.Path) -> str:
    """Returns one line of counts of a checkout."""
    rooms, between_files = room_files(root), file_arrows(root)
    files = sum(len(paths) for paths in rooms.values())
    counted = files, len(between_files), max(floors(between_files).values()) + 1
    text = "{} files, {} arrows between them, {} floors".format(*counted)
    if between_rooms := arrows(root):
        text += f"; {len(rooms)} rooms, {len(between_rooms)} arrows between them, "
        text += f"{max(floors(between_rooms).values()) + 2} floors"  # one is the foundation
    return text


def draw(root: pathlib.Path, path: pathlib.Path) -> None:
    """Writes the picture of a checkout as SVG.

    Args:
      root: of the checkout.
      path: the picture.
    """
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

    matplotlib.rcParams["svg.hashsalt"] = "siamfc_jax"  # the same picture from the same imports
    rooms, edges = room_files(root), arrows(root)
    heights = {room: level + 1 for room, level in floors(edges).items()} | {FOUNDATION: 0}
    by_floor = collections.defaultdict(list)
    for room in sorted(rooms):
        by_floor[heights.get(room, 1)].append(room)
    figure = Figure(figsize=(12, 2 * len(by_floor)))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 12), ylim=(-0.4, 2 * len(by_floor) - 0.3))
    axes.set_axis_off()
    boxes = {}
    for floor, names in by_floor.items():
        for place, room in enumerate(names):
            x = 12 * (place + 0.5) / len(names)
            if len(names) == 1 and floor % 2:  # beside the room above, so that arrows pass
                x += 2.5
            boxes[room] = (x, 2 * floor)
            half = 5.6 if room == FOUNDATION else 1.4
            box = FancyBboxPatch(
                (x - half, 2 * floor), 2 * half, 1.1, boxstyle="round,pad=0.05", fc="#eef3fa",
                ec="#34506b",
            )  # fmt: skip
            axes.add_patch(box)
            title = f"{room}/*.py, imported by all" if room == FOUNDATION else room
            axes.text(x, 2 * floor + 0.88, title, ha="center", weight="bold", size=11)
            files = [p.stem for p in rooms[room] if p.stem != "__init__"]
            lines, step = [], 10 if room == FOUNDATION else 3
            for start in range(0, len(files), step):
                lines.append("  ".join(files[start : start + step]))
            axes.text(x, 2 * floor + 0.72, "\n".join(lines), ha="center", va="top", size=7)
    for start, end in sorted(edges):
        (x, y), (to_x, to_y) = boxes[start], boxes[end]
        arrow = FancyArrowPatch(
            (x, y - 0.06), (to_x, to_y + 1.17), arrowstyle="-|>", mutation_scale=10,
            lw=0.9, color="#b0602a", alpha=0.75, connectionstyle="arc3,rad=0.06", zorder=0,
        )  # fmt: skip
        arrow.set_gid(f"{start}->{end}")
        axes.add_patch(arrow)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=pathlib.Path, help="count another checkout, draw nothing")
    args = parser.parse_args()
    if args.root is None:
        draw(ROOT, PICTURE)
    print(report(args.root or ROOT))


if __name__ == "__main__":
    main()
