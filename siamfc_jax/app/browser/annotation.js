/* What a person drew and what was tracked, as data; nothing here knows of the page.

   A drawing is {objects: [{id, name, color, hidden}], keys: {id: {frame: [x, y, w, h]}},
   ends: {id: {frame: true}}}. Tracks are {id: [row of frame 0, ...]} with rows
   [x, y, w, h, confidence, lost], some of them missing. */

export const emptyDrawing = () => ({objects: [], keys: {}, ends: {}});

const numbers = (record) => Object.keys(record ?? {}).map(Number).sort((a, b) => a - b);
export const keyFrames = (drawing, id) => numbers(drawing.keys[id]);
export const endFrames = (drawing, id) => numbers(drawing.ends[id]);

/** Copies tracks; their rows, which nobody changes, are shared. */
export const copyTracks = (tracks) =>
  Object.fromEntries(Object.entries(tracks).map(([id, rows]) => [id, rows.slice()]));

/** Tells whether an object has ended before a frame and has no key box since. */
function isGone(drawing, id, frame) {
  const end = endFrames(drawing, id).findLast((number) => number <= frame);
  const key = keyFrames(drawing, id).findLast((number) => number <= frame);
  return end !== undefined && (key === undefined || key < end);
}

/** What is seen of an object in a frame: {box, confidence, lost, key}, or null. */
export function seen(drawing, tracks, id, frame) {
  const key = drawing.keys[id]?.[frame];
  if (key) return {box: key, confidence: 1, lost: false, key: true};
  const row = tracks[id]?.[frame];
  if (!row || isGone(drawing, id, frame)) return null;
  return {box: row.slice(0, 4), confidence: row[4], lost: Boolean(row[5]), key: false};
}

/** Yields {first, last, lost} of each run of frames in which an object is tracked. */
export function* runs(drawing, tracks, id) {
  const rows = tracks[id] ?? [], keys = drawing.keys[id] ?? {}, ends = drawing.ends[id] ?? {};
  let gone = false, run = null;
  for (let frame = 0; frame < rows.length; frame++) {
    if (keys[frame]) gone = false;
    else if (ends[frame]) gone = true;
    const row = gone || keys[frame] ? null : rows[frame];
    const lost = Boolean(row?.[5]);
    if (run && (!row || run.lost !== lost)) { yield run; run = null; }
    if (row) run = {first: run?.first ?? frame, last: frame, lost};
  }
  if (run) yield run;
}

/** The key box of an object that is nearest to a frame, else null. */
export function nearestBox(drawing, tracks, id, frame) {
  const frames = keyFrames(drawing, id);
  if (!frames.length) return null;
  const near = frames.reduce((a, b) => Math.abs(b - frame) < Math.abs(a - frame) ? b : a);
  return drawing.keys[id][near];
}

export function freeName(drawing) {
  let number = drawing.objects.length + 1;
  while (drawing.objects.some((object) => object.name === `object ${number}`)) number++;
  return `object ${number}`;
}

// ---- the forms of the server and of project files

export function toProject(drawing) {
  const list = (record, make) => Object.entries(record).flatMap(([id, frames]) =>
    Object.entries(frames).map(([frame, value]) => make(Number(id), Number(frame), value)));
  return {
    objects: drawing.objects,
    keys: list(drawing.keys, (object, frame, box) => ({object, frame, box})),
    ends: list(drawing.ends, (object, frame) => ({object, frame})),
  };
}

export function fromProject({objects, keys, ends}) {
  const drawing = {objects, keys: {}, ends: {}};
  for (const {object, frame, box} of keys) (drawing.keys[object] ??= {})[frame] = box;
  for (const {object, frame} of ends) (drawing.ends[object] ??= {})[frame] = true;
  return drawing;
}

export function toRows(tracks) {
  return Object.fromEntries(Object.entries(tracks).map(([id, rows]) =>
    [id, Object.entries(rows).map(([frame, row]) => [Number(frame), ...row])]));
}

export function fromRows(data) {
  const tracks = {};
  for (const [id, rows] of Object.entries(data))
    for (const [frame, ...row] of rows) (tracks[id] ??= [])[frame] = row;
  return tracks;
}
