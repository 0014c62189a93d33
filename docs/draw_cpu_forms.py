"""Draws how the CPU forms of the convolution work: docs/pictures/cpu_forms.png.

python docs/draw_cpu_forms.py
"""

import pathlib

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

PICTURE = pathlib.Path(__file__).resolve().parent / "pictures" / "cpu_forms.png"
BLUE, ORANGE, GREEN, GRAY = "#3b6fb6", "#d9822b", "#4f9a57", "#d8dde3"


def grid(axes, x, y, columns, rows, size, color="white", text=""):
    """Draws cells with their top left corner at (x, y), and a caption below."""
    for row in range(rows):
        for column in range(columns):
            fill = color(row, column) if callable(color) else color
            corner = (x + column * size, y - (row + 1) * size)
            axes.add_patch(Rectangle(corner, size, size, fc=fill, ec="#777", lw=0.6))
    axes.text(x + columns * size / 2, y - rows * size - 0.25, text, ha="center", va="top", size=8)


def arrow(axes, x, y, text):
    """Draws an arrow rightwards that says what is done."""
    axes.annotate("", (x + 0.9, y), (x, y), arrowprops={"arrowstyle": "-|>", "color": "#333"})
    axes.text(x + 0.42, y + 0.12, text, ha="center", size=7.5)


def draw_matmul(axes):
    """Draws the matmul form: kernel 3, stride 1, an image of 5 x 5."""
    axes.set_title("matmul form: all kernel rows at once, shifted results added", loc="left")
    row_colors = (BLUE, ORANGE, GREEN)

    def window(row, column):
        return "#b9cdea" if row == 1 and column < 3 else "white"

    grid(axes, 0, 2.6, 5, 5, 0.4, window, "image [H, W, C]\na window of one row, k columns")
    arrow(axes, 2.3, 1.6, "stack k\nneighbours")
    grid(axes, 3.5, 2.6, 3, 5, 0.4, lambda r, c: "#b9cdea" if (r, c) == (1, 0) else "white",
         "columns [H, w, k C]\nno copy of whole windows")  # fmt: skip
    arrow(axes, 4.9, 1.6, "one matmul")
    for place, color in enumerate(row_colors):
        grid(axes, 6.1 + place * 1.45, 2.6, 3, 5, 0.4,
             lambda r, c, p=place, color=color: color if p <= r < p + 3 else GRAY,
             f"kernel\nrow {place}")  # fmt: skip
        if place:
            axes.text(5.98 + place * 1.45, 1.6, "+", ha="center", va="center", size=12)
    arrow(axes, 10.5, 1.6, "add")
    grid(axes, 11.6, 2.2, 3, 3, 0.4, "#e8d9c5", "output [h, w, D]: row r = blue r\n"
         "+ orange r + 1 + green r + 2")  # fmt: skip


def draw_winograd(axes):
    """Draws Winograd's tiles: kernel 3, tiles of 2 x 2 outputs."""
    axes.set_title("Winograd's tiles: 16 multiplications for 2 x 2 outputs, not 36", loc="left")
    colors = (BLUE, ORANGE)

    def tiles(row, column):
        return "#c4d6ee" if row < 4 and column < 4 else "#f3dcc3" if row < 4 else "white"

    grid(axes, 0, 2.6, 6, 6, 0.34, tiles, "image: tiles of 4 x 4 inputs,\n2 apart, overlap by 2")
    arrow(axes, 2.3, 1.6, "B^T d B:\nsums only")
    for place, color in enumerate(colors):
        grid(axes, 3.5 + 0.25 * place, 2.6 - 0.25 * place, 4, 4, 0.34, color,
             "" if not place else "16 places [T S, C],\none row a tile")  # fmt: skip
    axes.text(5.6, 1.6, "x", ha="center", va="center", size=13)
    grid(axes, 6.0, 2.45, 4, 4, 0.34, GREEN, "kernel G g G^T:\n16 places [C, D]")
    arrow(axes, 7.6, 1.6, "16\nmatmuls")
    for place, color in enumerate(colors):
        grid(axes, 8.8 + 0.25 * place, 2.6 - 0.25 * place, 4, 4, 0.34, color,
             "" if not place else "16 places\n[T S, D]")  # fmt: skip
    arrow(axes, 10.6, 1.6, "A^T m A:\nsums only")
    grid(axes, 11.7, 2.3, 4, 2, 0.4, lambda r, c: colors[c // 2], "outputs: 2 x 2 a tile")


def main() -> None:
    """Writes the picture."""
    figure = Figure(figsize=(12, 6.4))
    for axes, draw in zip(figure.subplots(2, 1), (draw_matmul, draw_winograd), strict=True):
        axes.set(xlim=(-0.2, 13.7), ylim=(-0.6, 3.1), aspect="equal")
        axes.set_axis_off()
        draw(axes)
    figure.tight_layout()
    figure.savefig(PICTURE, dpi=110)
    print(f"wrote {PICTURE}")


if __name__ == "__main__":
    main()
