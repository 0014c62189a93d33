/* The picture with the boxes over it: shows them, and turns drags and keys into boxes. */

const SVG = "http://www.w3.org/2000/svg";

export function svg(parent, tag, attributes = {}, text = "") {
  const element = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text) element.textContent = text;
  return parent.appendChild(element);
}

/** Makes a button that shows a path of 24 x 24. */
export function iconButton(label, path, act) {
  const button = document.createElement("button");
  const icon = svg(button, "svg", {viewBox: "0 0 24 24", fill: "none", stroke: "currentColor",
    "stroke-width": 2, "aria-hidden": true});
  svg(icon, "path", {d: path});
  button.setAttribute("aria-label", label);
  button.title = label;
  button.onclick = act;
  return button;
}

/** Black or white, whichever can be read better on a color (relative luminance of WCAG). */
export function inkOn(color) {
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16) / 255)
    .map((value) => value <= .04045 ? value / 12.92 : ((value + .055) / 1.055) ** 2.4);
  return .2126 * r + .7152 * g + .0722 * b > .179 ? "#000" : "#fff";
}

const HANDLES = [[0, 0], [.5, 0], [1, 0], [1, .5], [1, 1], [.5, 1], [0, 1], [0, .5]];
const CURSORS = ["nwse", "ns", "nesw", "ew", "nwse", "ns", "nesw", "ew"];
const round = (value) => Math.round(value * 10) / 10;

/** Brings a box into the picture, at least one pixel large. */
export function fit([x, y, w, h], [width, height]) {
  w = Math.min(Math.max(w, 1), width);
  h = Math.min(Math.max(h, 1), height);
  return [Math.min(Math.max(x, 0), width - w), Math.min(Math.max(y, 0), height - h), w, h].map(round);
}

/**
 * Makes the stage.
 *   pad: the <svg> over the picture.
 *   actions: select(id), change(id or null for a new one, box), isArmed(), target(), remove(id).
 */
export function makeStage(pad, actions) {
  let size = [1, 1], items = [], selected = null, drag = null;
  const groups = new Map();  // id -> its <g>; kept, so that the keyboard's focus stays
  const unit = () => size[0] / (pad.clientWidth || 1);  // frame pixels in one of the screen

  function show(newSize, newItems, newSelected) {
    [size, items, selected] = [newSize, newItems, newSelected];
    pad.setAttribute("viewBox", `0 0 ${size[0]} ${size[1]}`);
    render();
  }

  function render() {
    const u = unit();
    const present = drag ? [...items.filter((item) => item.id !== drag.id), drag.item] : items;
    for (const [id, group] of groups)
      if (!present.some((item) => item.id === id)) { group.remove(); groups.delete(id); }
    for (const item of present) {
      let group = groups.get(item.id);
      if (!group) {
        group = svg(pad, "g", {tabindex: 0, role: "button"});
        group.addEventListener("focus", () => actions.select(item.id));
        group.addEventListener("keydown", (event) => press(event, item.id));
        groups.set(item.id, group);
      }
      const [x, y, width, height] = item.box, {color} = item;
      const chosen = item.id === selected;
      const state = item.key ? "key box" : item.lost ? "lost" : `tracked, ${percent(item)}`;
      group.setAttribute("aria-label", `${item.name}, ${state}: x ${x}, y ${y}, width ${width}, `
        + `height ${height}`);
      group.setAttribute("aria-pressed", chosen);
      group.replaceChildren();
      svg(group, "rect", {x, y, width, height, stroke: "#000a", class: "shade"});
      svg(group, "rect", {x, y, width, height, stroke: color, fill: color,
        class: `box${chosen ? " chosen" : ""}${item.lost ? " lost" : ""}`});
      const words = item.name + (item.lost ? " · lost" : item.key ? "" : ` · ${percent(item)}`);
      const font = 13 * u, tall = 19 * u;
      const top = y >= tall ? y - tall : Math.min(y + height, size[1] - tall);
      const plate = svg(group, "rect", {y: top, height: tall, rx: 3 * u, fill: color, class: "plate"});
      const label = svg(group, "text", {y: top + 14 * u, "font-size": font, fill: inkOn(color)}, words);
      const wide = label.getComputedTextLength() + 10 * u;
      const left = Math.max(Math.min(x - u, size[0] - wide), 0);
      plate.setAttribute("x", left);
      plate.setAttribute("width", wide);
      label.setAttribute("x", left + 5 * u);
      if (chosen)
        for (const [index, [fx, fy]] of HANDLES.entries())
          svg(group, "circle", {cx: x + fx * width, cy: y + fy * height,
            r: (index % 2 ? 3.5 : 5) * u, fill: color, stroke: "#000", "stroke-width": u});
    }
  }

  const percent = ({confidence}) => `${Math.round(confidence * 100)}\u00a0%`;

  function press(event, id) {
    const [dx, dy] = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}
      [event.key] ?? [];
    if (dx === undefined || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    const step = event.altKey ? 10 : 1;
    const [x, y, w, h] = items.find((item) => item.id === id).box;
    actions.change(id, fit(event.shiftKey ? [x, y, w + step * dx, h + step * dy]
      : [x + step * dx, y + step * dy, w, h], size));
  }

  function place(event) {
    const area = pad.getBoundingClientRect();
    const clamp = (value, most) => Math.min(Math.max(value, 0), most);
    return [clamp((event.clientX - area.left) * unit(), size[0]),
            clamp((event.clientY - area.top) * unit(), size[1])];
  }

  /** What a press would take hold of: {item, handle}, {item}, or nothing. */
  function hit([x, y], touch) {
    const reach = (touch ? 22 : 9) * unit();
    const item = items.find((other) => other.id === selected);
    if (item) {
      const [bx, by, bw, bh] = item.box;
      const distances = HANDLES.map(([fx, fy]) => Math.hypot(bx + fx * bw - x, by + fy * bh - y));
      const nearest = distances.indexOf(Math.min(...distances));
      // In a small box the middle moves it all the same.
      if (distances[nearest] < Math.min(reach, touch ? reach : Math.max(Math.min(bw, bh) / 3, 4 * unit())))
        return {item, handle: nearest};
    }
    const inside = items.filter(({box: [bx, by, bw, bh]}) =>
      x >= bx && x <= bx + bw && y >= by && y <= by + bh);
    const area = ({box}) => box[2] * box[3];
    inside.sort((a, b) => (b.id === selected) - (a.id === selected) || area(a) - area(b));
    return inside.length ? {item: inside[0]} : {};
  }

  pad.onpointerdown = (event) => {
    if (drag || event.button) return;
    event.preventDefault();
    const at = place(event);
    const {item, handle} = actions.isArmed() ? {} : hit(at, event.pointerType !== "mouse");
    if (item) {
      actions.select(item.id);
      groups.get(item.id)?.focus({preventScroll: true});
      drag = {id: item.id, item: {...item}, before: item.box, handle, start: at};
    } else {
      const target = actions.target();
      drag = {id: target.id, item: {...target, box: [...at, 0, 0], key: true}, before: null, start: at};
    }
    pad.setPointerCapture(event.pointerId);
  };
  pad.onpointermove = (event) => {
    const [x, y] = place(event);
    if (!drag) {
      const {item, handle} = actions.isArmed() ? {} : hit([x, y], false);
      pad.style.cursor = handle !== undefined ? `${CURSORS[handle]}-resize` : item ? "move" : "crosshair";
      return;
    }
    const {before, handle, start: [sx, sy]} = drag;
    if (!before) drag.item.box = between(sx, sy, x, y);
    else if (handle === undefined)
      drag.item.box = fit([before[0] + x - sx, before[1] + y - sy, before[2], before[3]], size);
    else {
      const [fx, fy] = HANDLES[handle];
      let [left, top, right, bottom] = [before[0], before[1], before[0] + before[2], before[1] + before[3]];
      if (fx === 0) left = x;
      if (fx === 1) right = x;
      if (fy === 0) top = y;
      if (fy === 1) bottom = y;
      drag.item.box = between(left, top, right, bottom);
    }
    drag.item.key = true;
    drag.item.lost = false;
    render();
  };
  const between = (a, b, c, d) =>
    [Math.min(a, c), Math.min(b, d), Math.abs(a - c), Math.abs(b - d)].map(round);
  pad.onpointerup = pad.onpointercancel = (event) => {
    if (!drag) return;
    const {id, item, before} = drag;
    drag = null;
    const least = before ? 1 : 5 * unit();
    const moved = !before || before.some((value, index) => value !== item.box[index]);
    if (event.type === "pointerup" && moved && Math.min(item.box[2], item.box[3]) >= least)
      actions.change(before ? id : item.id, item.box);
    else {
      if (!before) actions.tap();
      render();
    }
  };

  return {show, render, focus: (id) => groups.get(id)?.focus(), isDragging: () => drag !== null};
}
