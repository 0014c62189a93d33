/* The timeline: a row an object with its key boxes, tracked and lost spans, and ends. */

import {endFrames, keyFrames, runs} from "./annotation.js";
import {svg} from "./stage.js";

const TOP = 22, ROW = 26, RIGHT = 12;

/**
 * Makes the timeline.
 *   slider: the element that takes keys and presses, with an <svg> in it.
 *   actions: go(frame), select(id).
 */
export function makeTimeline(slider, actions) {
  const chart = slider.querySelector("svg");
  let view = null;
  const left = () => slider.clientWidth < 500 ? 76 : 110;
  const scale = () => (slider.clientWidth - left() - RIGHT) / Math.max(view.count - 1, 1);
  const at = (frame) => left() + frame * scale();

  /** Shows {drawing, tracks, count, frame, selected}. */
  function show(newView) {
    view = newView;
    const {drawing, tracks, count, selected} = view;
    const width = slider.clientWidth;
    if (!width) return;
    const height = TOP + ROW * Math.max(drawing.objects.length, 1) + 4;
    chart.setAttribute("width", width);
    chart.setAttribute("height", height);
    chart.replaceChildren();
    ruler(count, height);
    drawing.objects.forEach(({id, name, color, hidden}, index) => {
      const y = TOP + ROW * index, middle = y + ROW / 2;
      const row = svg(chart, "g", {class: `row${hidden ? " hidden" : ""}`, "data-object": id});
      if (id === selected) svg(row, "rect", {class: "chosen", x: 0, y, width, height: ROW, rx: 5});
      svg(row, "rect", {x: 8, y: middle - 5, width: 10, height: 10, rx: 3, fill: color});
      const label = svg(row, "text", {x: 24, y: middle + 4, class: "name"}, name);
      for (let text = name; label.getComputedTextLength() > left() - 34 && text;)
        label.textContent = `${text = text.slice(0, -1)}…`;
      svg(row, "line", {class: "rail", x1: left(), x2: width - RIGHT, y1: middle, y2: middle});
      for (const {first, last, lost} of runs(drawing, tracks, id)) {
        const shape = {x: at(first - .5), width: Math.max(at(last + 1) - at(first), 1.5)};
        svg(row, "rect", lost ? {...shape, class: "lost", y: middle - 6, height: 12}
          : {...shape, class: "tracked", y: middle - 4, height: 8, fill: color});
      }
      for (const end of endFrames(drawing, id))
        svg(row, "path", {class: "end", d: `M${at(end)} ${middle - 8}v16M${at(end) - 4} ${middle - 8}h4m-4 16h4`});
      for (const key of keyFrames(drawing, id))
        svg(row, "path", {class: "key", fill: color, d: `M${at(key)} ${middle - 7}l6 7l-6 7l-6 -7z`});
    });
    svg(chart, "line", {class: "now", y1: 14, y2: height});
    svg(chart, "path", {class: "knob"});
    move(view.frame);
  }

  function ruler(count, height) {
    const most = Math.max((slider.clientWidth - left()) / 70, 2);
    const rough = Math.max(count / most, 1), power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((factor) => factor * power).find((value) => value >= rough);
    for (let frame = 0; frame < count; frame += step) {
      svg(chart, "line", {class: "grid", x1: at(frame), x2: at(frame), y1: 16, y2: height});
      svg(chart, "text", {x: at(frame), y: 11, "text-anchor": "middle"}, String(frame));
    }
  }

  /** Moves the mark of the frame that is shown. */
  function move(frame) {
    if (!view) return;
    view.frame = frame;
    slider.setAttribute("aria-valuemax", view.count - 1);
    slider.setAttribute("aria-valuenow", frame);
    const line = chart.querySelector(".now");
    if (!line) return;
    line.setAttribute("x1", at(frame));
    line.setAttribute("x2", at(frame));
    chart.querySelector(".knob").setAttribute("d", `M${at(frame) - 6} 13h12l-6 8z`);
  }

  function seek(event, choose) {
    const area = slider.getBoundingClientRect();
    const x = event.clientX - area.left, y = event.clientY - area.top + slider.scrollTop;
    if (choose) {
      const object = view.drawing.objects[Math.floor((y - TOP) / ROW)];
      if (object) actions.select(object.id);
      if (x < left() - 8) return false;
    }
    actions.go(Math.round((x - left()) / scale()));
    return true;
  }

  let dragging = false;
  slider.onpointerdown = (event) => {
    if (event.button) return;
    dragging = seek(event, true);
    slider.setPointerCapture(event.pointerId);
  };
  slider.onpointermove = (event) => { if (dragging && event.buttons) seek(event, false); };
  slider.onpointerup = slider.onpointercancel = () => { dragging = false; };

  return {show, move, at};
}
