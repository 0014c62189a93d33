/* The page: holds what is known, and joins the stage, the timeline and the server. */

import * as annotation from "./annotation.js";
import {makeCamera} from "./camera.js";
import {call, fetchFile, joinImages, upload} from "./server.js";
import {fit, iconButton, makeStage} from "./stage.js";
import {makeTimeline} from "./timeline.js";

const MEGABYTES = 500;  // MAX_UPLOAD of the server
const $ = (id) => document.getElementById(id);

let clip = null;       // what the server knows of the video
let drawing = annotation.emptyDrawing();
let tracks = {};
let undone = [], done = [];  // {drawing, tracks}; a run changes a copy of the tracks before it
let frame = 0;         // that is to be shown
let shown = -1;        // that is shown
let selected = null;   // identity of an object
let armed = false;     // the next drag draws a new object
let live = null;       // {frame, rows} while a frame comes from the tracker
let running = false;
let pending = null;    // a project that waits for its video
let version = 0, unsaved = false, saving = null;
let savedTracks = tracks;  // those that the server has

// ---- messages

/** Tells what went wrong; {label, act} offers a way out. */
function fail(error, way = null) {
  $("error").hidden = !error;
  $("error").firstElementChild.textContent = error ? error.message : "";
  $("errordo").hidden = !way;
  $("errordo").textContent = way?.label ?? "";
  $("errordo").onclick = () => { fail(null); way.act(); };
}

const WAYS = {
  404: {label: "Save project", act: () => saveProject()},
  409: {label: "Load its changes", act: () => enter(clip.id)},
};

/** Makes an action tell in the page what went wrong. */
const telling = (action) => async (...values) => {
  fail(null);
  try { await action(...values); } catch (error) { fail(error, clip && WAYS[error.status]); }
};

// ---- open

function step(name) {
  document.querySelector("main").dataset.step = name;
  for (const element of document.querySelectorAll("[data-on]"))
    element.hidden = element.dataset.on !== name;
}

async function open(asked) {
  const buttons = document.querySelectorAll("#drop button");
  $("uploaded").value = 0;
  $("uploaded").hidden = false;
  for (const button of buttons) button.disabled = true;
  try {
    const opened = await asked();
    location.hash = opened.id;  // so that a reload comes back here, and Back goes to the start
    await show(opened);
  } finally {
    $("uploaded").hidden = true;
    for (const button of buttons) button.disabled = false;
  }
}

async function openFiles(files) {
  files = [...files];
  const project = files.find((file) => file.name.endsWith(".json"));
  if (project) await readProject(project);
  const media = files.filter((file) => file !== project);
  const images = media.filter((file) => /^image\//.test(file.type));
  const [first] = media;
  if (!first) return;
  const body = media.length > 1 ? joinImages(images) : images.length && !/gif|webp/.test(first.type)
    ? joinImages(images) : first;
  if (media.length > 1 && !images.length) throw new Error("choose one video, or several images");
  if (body.size > MEGABYTES * 2 ** 20) throw new Error(`${first.name} is larger than ${MEGABYTES} MB`);
  await open(() => upload(body, (share) => { $("uploaded").value = share; }));
}

/** Shows a clip as the server describes it. */
async function show(opened) {
  clip = opened;
  [drawing, tracks] = [annotation.fromProject(clip.project), annotation.fromRows(clip.tracks)];
  savedTracks = tracks;
  version = clip.version;
  [done, undone, unsaved, live, armed] = [[], [], false, null, false];
  selected = drawing.objects[0]?.id ?? null;
  pictures.clear();
  shown = -1;
  const wanted = Number(location.hash.split("/")[1] ?? 0);
  frame = Math.min(Math.max(Number.isInteger(wanted) ? wanted : 0, 0), clip.count - 1);
  step("work");
  $("stage").style.setProperty("--ratio", clip.width / clip.height);
  Object.assign($("picture"), {width: clip.width, height: clip.height});
  $("frame").max = clip.count - 1;
  $("of").textContent = `of ${clip.count - 1}`;
  $("model").replaceChildren(...clip.models.map((name) => new Option(name.split("/").at(-1), name)));
  restoreSettings();
  const video = ["video", "Video, MP4"];
  $("exports").replaceChildren(...[...Object.entries(clip.forms), video].map(([form, label]) => {
    const button = document.createElement("button");
    button.textContent = label;
    button.onclick = telling(() => exportAs(form, label));
    return button;
  }));
  if (pending) await adopt(pending);
  go(frame);
  render();
  if (["waiting", "tracking"].includes(clip.phase)) watch();
}

const enter = telling(async (id) => show(await call("GET", `clips/${id}`)));

function leave() {
  pause();
  clip = null;
  step("open");
}

addEventListener("hashchange", () => {
  const [id] = location.hash.slice(1).split("/");
  if (id === "live") return camera.isOn() ? undefined : leave();
  camera.end();
  if (!id) leave();
  else if (id !== clip?.id) enter(id);
});

// ---- frames

const pictures = new Map();  // frame -> promise of its image; the newest hundred
let loading = false;

function load(number) {
  if (!pictures.has(number)) {
    const image = new Image();
    image.src = `clips/${clip.id}/frames/${number}`;
    pictures.set(number, image.decode().then(() => image));
    if (pictures.size > 100) pictures.delete(pictures.keys().next().value);
  }
  return pictures.get(number);
}

/** Goes to a frame; while one is loaded, the newest that was asked for waits. */
async function go(number) {
  frame = Math.min(Math.max(Math.round(number), 0), clip.count - 1);
  live = null;
  timeline.move(frame);
  $("frame").value = frame;
  if (loading) return;
  loading = true;
  try {
    while (clip && shown !== frame) {
      const [asked, id] = [frame, clip.id];
      let image;
      try {
        image = await load(asked);
      } catch {
        pictures.delete(asked);
        const answer = await fetch(`clips/${id}/frames/${asked}`).catch(() => null);
        const text = answer ? (await answer.json().catch(() => ({}))).error : null;
        pause();
        fail(new Error(text ?? "The server does not answer. Is siamfc serve still running?"),
          answer?.status === 404 ? WAYS[404] : null);
        break;
      }
      if (clip?.id !== id || live) break;
      paint(image, asked);
      if (asked + 1 < clip.count) load(asked + 1).catch(() => pictures.delete(asked + 1));
    }
  } finally {
    loading = false;
  }
}

function paint(image, number) {
  $("picture").getContext("2d").drawImage(image, 0, 0);
  $("picture").setAttribute("aria-label", `Frame ${number}`);
  shown = number;
  history.replaceState(null, "", `#${clip.id}/${number}`);
  render();
}

const PLAY = "M6 4l14 8-14 8z", PAUSE = "M6 4h4v16H6zM14 4h4v16h-4z";
let player = null;
function play() {
  if (player) return pause();
  if (frame === clip.count - 1) go(0);
  const [began, first] = [performance.now(), frame];
  player = setInterval(() => {
    const due = first + (performance.now() - began) / 1000 * clip.fps;
    if (!loading) go(due);
    if (frame === clip.count - 1) pause();
  }, 1000 / Math.min(clip.fps, 60));
  $("play").querySelector("path").setAttribute("d", PAUSE);
  $("play").setAttribute("aria-label", "Pause");
}
function pause() {
  clearInterval(player);
  player = null;
  $("play").querySelector("path").setAttribute("d", PLAY);
  $("play").setAttribute("aria-label", "Play");
}

// ---- edit

/** Changes the drawing: `change` gets a copy of it. */
function edit(change) {
  if (!$("error").dataset.lost) fail(null);
  const copy = structuredClone(drawing);
  change(copy);
  remember();
  drawing = copy;
  changed();
}

function remember() {
  done.push({drawing, tracks});
  undone = [];
}

function changed() {
  unsaved = true;
  if (!drawing.objects.some((object) => object.id === selected)) selected = null;
  render();
  clearTimeout(changed.timer);
  changed.timer = setTimeout(() => save().catch(() => {}), 250);
}

/** Tells whether the last of a list of states may come back; no tracks do while they grow. */
const mayReturn = (states) => states.length > 0 && !(running && states.at(-1).tracks !== tracks);

function exchange(from, to) {
  if (!mayReturn(from)) return;
  to.push({drawing, tracks});
  ({drawing, tracks} = from.pop());
  changed();
}
const undo = () => exchange(done, undone);
const redo = () => exchange(undone, done);

const find = (id, where = drawing) => where.objects.find((object) => object.id === id);
const size = () => [clip.width, clip.height];

function newObject() {
  const drawings = [drawing, ...[...done, ...undone].map((state) => state.drawing)];
  const used = drawings.flatMap((one) => one.objects.map(({id}) => id));
  const id = Math.max(0, ...used, ...Object.keys(tracks).map(Number)) + 1;
  const free = clip.colors.filter((color) => !drawing.objects.some((one) => one.color === color));
  const color = free[0] ?? clip.colors[drawing.objects.length % clip.colors.length];
  return {id, name: annotation.freeName(drawing), color, hidden: false};
}

/** Sets the key box of an object, old or new, in the frame that is shown. */
function setBox({id, name, color}, box) {
  const at = shown;
  armed = false;
  selected = id;
  edit((copy) => {
    if (!find(id, copy)) copy.objects.push({id, name, color, hidden: false});
    (copy.keys[id] ??= {})[at] = fit(box, size());
    delete copy.ends[id]?.[at];
  });
}

function addInMiddle() {
  const {width, height} = clip, object = newObject();
  setBox(object, [width * .375, height * .375, width / 4, height / 4]);
  stage.focus(object.id);
}

function toggleKey() {
  const object = find(selected);
  if (!object) return;
  if (!drawing.keys[selected]?.[shown]) {
    const box = annotation.seen(drawing, tracks, selected, shown)?.box
      ?? annotation.nearestBox(drawing, tracks, selected, shown);
    setBox(object, box ?? [clip.width * .375, clip.height * .375, clip.width / 4, clip.height / 4]);
  } else edit((copy) => { delete copy.keys[selected][shown]; });
}

function toggleEnd() {
  if (!find(selected)) return;
  edit((copy) => {
    if (copy.ends[selected]?.[shown]) delete copy.ends[selected][shown];
    else {
      (copy.ends[selected] ??= {})[shown] = true;
      delete copy.keys[selected]?.[shown];
    }
  });
}

function remove(id) {
  edit((copy) => {
    copy.objects = copy.objects.filter((object) => object.id !== id);
    delete copy.keys[id];
    delete copy.ends[id];
  });
}

function rename(id, text, field) {
  const name = text.trim();
  if (!name || drawing.objects.some((other) => other.id !== id && other.name === name)) {
    fail(new Error(name ? `there is an object ${name} already` : "every object needs a name"));
    field.value = find(id).name;
    return;
  }
  if (name !== find(id).name) edit((copy) => { find(id, copy).name = name; });
}

function select(id) {
  if (selected === id && !armed) return;
  [selected, armed] = [id, false];
  render();
}

// ---- save

/** Sends the drawing to the server, after what is being sent already. */
async function save() {
  while (saving) await saving.catch(() => {});
  if (!unsaved || !clip) return;
  unsaved = false;
  const sent = tracks;
  const news = sent === savedTracks ? {} : {tracks: annotation.toRows(sent)};
  const body = JSON.stringify({version, ...annotation.toProject(drawing), ...news});
  saving = call("PUT", `clips/${clip.id}/project`, body);
  try {
    ({version} = await saving);
    if (news.tracks) savedTracks = sent;
    if ($("error").dataset.lost) { delete $("error").dataset.lost; fail(null); }
    $("saved").textContent = "";
  } catch (error) {
    unsaved = true;
    $("saved").textContent = "not saved";
    if (error.status === 0) {
      $("error").dataset.lost = "yes";
      fail(new Error(`${error.message} Your boxes are kept in this tab and saved when it is back.`),
        WAYS[404]);
      clearTimeout(changed.timer);
      changed.timer = setTimeout(() => save().catch(() => {}), 2000);
    } else fail(error, WAYS[error.status]);
    throw error;
  } finally {
    saving = null;
  }
}

addEventListener("beforeunload", (event) => { if (unsaved && clip) event.preventDefault(); });

/** Comes back to this tab: takes over what another one did. */
addEventListener("focus", async () => {
  if (!clip || unsaved || saving || running) return;
  const news = await call("GET", `clips/${clip.id}`).catch(() => null);
  if (news && news.id === clip?.id && news.version > version && !unsaved) await show(news);
});

// ---- project files

const FORMAT = "siamfc_jax annotation 1";

function deliver(blob, name) {
  const link = Object.assign(document.createElement("a"), {href: URL.createObjectURL(blob), download: name});
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function saveProject() {
  const {width, height, count, fps} = clip;
  const data = {format: FORMAT, video: {width, height, count, fps}, settings: settings(),
    ...annotation.toProject(drawing), tracks: annotation.toRows(tracks)};
  deliver(new Blob([JSON.stringify(data)], {type: "application/json"}), "project.json");
}

async function readProject(file) {
  let data = null;
  try { data = JSON.parse(await file.text()); } catch { /* told below */ }
  if (data?.format !== FORMAT) throw new Error(`${file.name} is no project that this page saved`);
  if (clip) return adopt(data);
  pending = data;
  const {width, height, count} = data.video;
  $("pending").textContent = `${data.objects.length} objects are ready. Now open their video: `
    + `${width} × ${height}, ${count} frames.`;
}

/** Puts a project in place of what was drawn. */
async function adopt(data) {
  pending = null;
  $("pending").textContent = "";
  const {width, height, count} = data.video;
  if (width !== clip.width || height !== clip.height || count !== clip.count)
    throw new Error(`the project is of a video with ${width} × ${height} pixels and ${count} frames,`
      + ` this one has ${clip.width} × ${clip.height} and ${clip.count}`);
  await save();
  const {objects, keys, ends} = data;
  const body = JSON.stringify({version, objects, keys, ends, tracks: data.tracks});
  ({version} = await call("PUT", `clips/${clip.id}/project`, body));
  remember();
  drawing = annotation.fromProject(data);
  savedTracks = tracks = annotation.fromRows(data.tracks);
  selected = drawing.objects[0]?.id ?? null;
  useSettings(data.settings);
  render();
}

async function exportAs(form, label) {
  await save();
  $("exporting").hidden = false;
  $("exporting").textContent = form === "video" ? "Making the video …" : `Making ${label} …`;
  try {
    const {blob, name} = await fetchFile(`clips/${clip.id}/exports/${form}`);
    deliver(blob, name);
    $("exporting").textContent = `${name} is in your downloads.`;
  } catch (error) {
    $("exporting").hidden = true;
    throw error;
  }
}

// ---- track

const FIELDS = {model: "value", scales: "value", backward: "checked", redetect: "checked"};
const settings = () => Object.fromEntries(
  Object.entries(FIELDS).map(([id, property]) => [id, $(id)[property]]));
function useSettings(values) {
  for (const [id, property] of Object.entries(FIELDS))
    if (values?.[id] !== undefined) $(id)[property] = values[id];
  if (!$("model").value) $("model").selectedIndex = 0;
}
function restoreSettings() {
  try { useSettings(JSON.parse(sessionStorage.getItem("settings"))); } catch { /* none */ }
}
for (const id of Object.keys(FIELDS))
  $(id).onchange = () => sessionStorage.setItem("settings", JSON.stringify(settings()));

async function track(direction) {
  pause();
  if (direction !== "all" && !drawing.keys[selected]?.[shown]) toggleKey();
  const at = shown;
  await save();
  const {scales, ...rest} = settings();
  await call("PUT", `clips/${clip.id}/run`, JSON.stringify(
    {...rest, scales: scales ? Number(scales) : null, direction, frame: at, objects: [selected]}));
  remember();  // one step of undo brings back the boxes before
  savedTracks = tracks = annotation.copyTracks(tracks);
  await watch();
}

/** Asks how far the tracking is; where the server does not answer, until it does. */
async function progress(id, since) {
  for (;;)
    try {
      const news = await call("GET", `clips/${id}/run?since=${since}`);
      if ($("status").dataset.lost) { delete $("status").dataset.lost; fail(null); }
      return news;
    } catch (error) {
      if (error.status !== 0) throw error;
      $("status").dataset.lost = "yes";
      fail(error, WAYS[404]);
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
}

/** Asks until the tracking has ended, and shows what it sees meanwhile. */
async function watch() {
  const {id} = clip;
  let since = 0, news, began = 0;
  running = true;
  $("progress").removeAttribute("value");
  $("status").textContent = "Getting ready, some seconds the first time";
  $("stop").disabled = false;
  render();
  const start = frame;
  let follow = true;
  try {
    do {
      news = await progress(id, since);
      if (clip?.id !== id) return;
      since += news.rows.length;
      for (const [object, number, ...row] of news.rows) (tracks[object] ??= [])[number] = row;
      if (news.phase === "waiting") $("status").textContent = "Waiting for another video to finish";
      if (news.done) {
        began ||= performance.now() - 1;
        Object.assign($("progress"), {max: news.total, value: news.done});
        const rate = news.done / (performance.now() - began) * 1000;
        $("status").textContent = `${news.done} of ${news.total} frames`
          + (news.done > 20 ? `, ${rate.toFixed(0)} a second` : "");
        follow &&= frame === (live?.frame ?? start);  // until somebody goes elsewhere
        if (follow && news.phase === "tracking") await showLive(id);
      }
      if (news.rows.length) renderSoon();
      await new Promise((resolve) => setTimeout(resolve, 120));
    } while (["waiting", "tracking"].includes(news.phase));
    if (news.error) fail(new Error(news.error));
  } finally {
    running = false;
    if (clip?.id === id) {
      if (live) { live = null; shown = -1; }
      go(follow ? start : frame);
      render();
    }
  }
}

async function showLive(id) {
  const picture = await fetchFile(`clips/${id}/live`).catch(() => null);
  if (!picture || clip?.id !== id) return;
  const image = await createImageBitmap(picture.blob);
  live = picture.live;
  frame = live.frame;
  timeline.move(frame);
  $("frame").value = frame;
  $("picture").getContext("2d").drawImage(image, 0, 0);
  $("picture").setAttribute("aria-label", `Frame ${frame}`);
  shown = frame;
  render();
}

// ---- render

const EYE = "M1 12s4-7 11-7 11 7 11 7-4 7-11 7S1 12 1 12zM12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6z";
const CROSS = "M5 5l14 14M19 5L5 19";

function visible(id) {
  const row = live?.rows.find(([object]) => object === id)?.slice(2);
  if (row && !drawing.keys[id]?.[shown])
    return {box: row.slice(0, 4), confidence: row[4], lost: Boolean(row[5]), key: false};
  return annotation.seen(drawing, tracks, id, shown);
}

let asked = false;
/** Renders once before the next picture of the screen, however often it is called. */
function renderSoon() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => { asked = false; render(); });
}

function render() {
  if (!clip) return;
  const items = drawing.objects.filter((object) => !object.hidden)
    .map((object) => ({...object, ...visible(object.id)})).filter((item) => item.box);
  stage.show(size(), items, selected);
  timeline.show({drawing, tracks, count: clip.count, frame, selected});
  renderObjects();
  renderSelected();
  $("undo").disabled = !mayReturn(done);
  $("redo").disabled = !mayReturn(undone);
  const keys = Object.values(drawing.keys).flatMap((frames) => Object.keys(frames)).length;
  $("running").hidden = !running;
  $("trackall").disabled = running || !keys;
  $("trackback").disabled = $("trackforth").disabled = running;
  for (const button of $("exports").children) button.disabled = !keys;
  $("new").setAttribute("aria-pressed", armed);
  $("hint").textContent = armed || !drawing.objects.length ? "Drag over the picture: a box around an object."
    : selected && !visible(selected) ? `Drag over the picture to draw ${find(selected).name} here.`
    : !keys ? "" : !Object.keys(tracks).length ? "Now track, or draw another object." : "";
  $("hint").hidden = !$("hint").textContent;
}

function renderObjects() {
  const list = $("objects");
  const state = JSON.stringify(drawing.objects);
  const choose = () => [...list.children].forEach((item, index) =>
    item.classList.toggle("chosen", drawing.objects[index].id === selected));
  // The fields stay while only the choice changes: somebody may be typing in one.
  if (list.dataset.state === state) return choose();
  list.dataset.state = state;
  const focus = list.contains(document.activeElement) ? document.activeElement.id : null;
  list.replaceChildren(...drawing.objects.map((object) => {
    const {id, name, color, hidden} = object;
    const item = document.createElement("li");
    const paintbox = Object.assign(document.createElement("input"), {type: "color", value: color, id: `color${id}`});
    paintbox.setAttribute("aria-label", `Color of ${name}`);
    paintbox.onchange = () => edit((copy) => { find(id, copy).color = paintbox.value; });
    const field = Object.assign(document.createElement("input"),
      {type: "text", value: name, maxLength: 40, id: `name${id}`});
    field.setAttribute("aria-label", `Name of object ${name}`);
    field.onchange = () => rename(id, field.value, field);
    field.onkeydown = (event) => { if (event.key === "Enter") field.blur(); };
    field.onfocus = () => select(id);
    const eye = iconButton(`${hidden ? "Show" : "Hide"} ${name}`, hidden ? `${EYE}M4 20L20 4` : EYE,
      () => edit((copy) => { find(id, copy).hidden = !hidden; }));
    eye.id = `eye${id}`;
    const cross = iconButton(`Delete ${name}`, CROSS, () => remove(id));
    item.onclick = (event) => { if (event.target === item) select(id); };
    item.append(paintbox, field, eye, cross);
    return item;
  }));
  choose();
  if (focus) $(focus)?.focus();
}

function renderSelected() {
  const object = find(selected);
  $("selected").hidden = !object;
  if (!object) return;
  const found = visible(selected), isKey = Boolean(drawing.keys[selected]?.[shown]);
  const ended = Boolean(drawing.ends[selected]?.[shown]);
  const state = isKey ? "key box" : found ? found.lost ? "lost"
    : `tracked, ${Math.round(found.confidence * 100)}\u00a0% sure` : ended ? "gone from here" : "no box";
  $("selectedname").textContent = `${object.name} in frame ${shown}: ${state}`;
  for (const field of document.querySelectorAll("[data-field]"))
    if (field !== document.activeElement || !field.dataset.dirty)
      field.value = found ? Math.round(found.box[field.dataset.field] * 10) / 10 : "";
  $("key").textContent = isKey ? "Remove key box" : "Key box here";
  $("gone").textContent = ended ? "Not gone here" : "Gone from here";
}

// ---- what people do

const stage = makeStage($("pad"), {
  select,
  isArmed: () => armed,
  target: () => !armed && find(selected) && !find(selected).hidden && !visible(selected)
    ? find(selected) : newObject(),
  change: (id, box) => setBox(find(id) ?? newObject(), box),
  tap: () => select(null),
});
const timeline = makeTimeline($("timeline"), {go: (number) => { pause(); go(number); }, select});

const nextKey = (sign) => {
  const ids = selected ? [selected] : drawing.objects.map(({id}) => id);
  const frames = ids.flatMap((id) => annotation.keyFrames(drawing, id))
    .filter((number) => sign * (number - frame) > 0);
  if (frames.length) go(sign > 0 ? Math.min(...frames) : Math.max(...frames));
};

for (const field of document.querySelectorAll("[data-field]")) {
  field.oninput = () => { field.dataset.dirty = "yes"; };
  field.onchange = () => {
    delete field.dataset.dirty;
    const box = [...visible(selected)?.box ?? annotation.nearestBox(drawing, tracks, selected, shown)
      ?? [0, 0, clip.width / 4, clip.height / 4]];
    const value = Number(field.value);
    if (field.value === "" || !Number.isFinite(value)) return render();
    box[field.dataset.field] = value;
    setBox(find(selected), box);
  };
  field.onblur = () => { delete field.dataset.dirty; };
}

$("choose").onclick = () => $("file").click();
$("choosefolder").onclick = () => $("folder").click();
$("openproject").onclick = $("openproject2").onclick = () => $("projectfile").click();
for (const id of ["file", "folder", "projectfile"])
  $(id).onchange = telling(async () => {
    let files = [...$(id).files];
    if (id === "folder") {
      files = files.filter((file) => /^image\//.test(file.type));
      if (!files.length) throw new Error("this folder holds no images");
    }
    $(id).value = "";
    await openFiles(files);
  });
$("sample").onclick = telling(() => open(() => call("PUT", "clips/sample")));
addEventListener("dragover", (event) => { event.preventDefault(); $("drop").classList.add("over"); });
addEventListener("dragleave", () => $("drop").classList.remove("over"));
addEventListener("drop", telling(async (event) => {
  event.preventDefault();
  $("drop").classList.remove("over");
  const files = [...event.dataTransfer.files];
  if (clip && files.some((file) => !file.name.endsWith(".json")))
    throw new Error("drop a project here, or choose Other video first");
  await openFiles(files);
}));

$("saveproject").onclick = saveProject;
$("other").onclick = telling(async () => { await save(); location.hash = ""; });
$("errorclose").onclick = () => fail(null);
$("back").onclick = () => { pause(); go(frame - 1); };
$("forth").onclick = () => { pause(); go(frame + 1); };
$("previouskey").onclick = () => nextKey(-1);
$("nextkey").onclick = () => nextKey(1);
$("play").onclick = play;
$("frame").onchange = () => go(Number($("frame").value));
$("boxes").onchange = () => $("pad").classList.toggle("off", !$("boxes").checked);
$("undo").onclick = undo;
$("redo").onclick = redo;
$("new").onclick = (event) => {
  if (event.detail === 0) return addInMiddle();  // by key
  armed = !armed;
  render();
};
$("key").onclick = toggleKey;
$("gone").onclick = toggleEnd;
$("trackall").onclick = telling(() => track("all"));
$("trackforth").onclick = telling(() => track("forward"));
$("trackback").onclick = telling(() => track("backward"));
$("stop").onclick = telling(() => {
  $("stop").disabled = true;
  return call("DELETE", `clips/${clip.id}/run`);
});

const KEYS = {
  ArrowLeft: (event) => go(frame - (event.shiftKey ? 10 : 1)),
  ArrowRight: (event) => go(frame + (event.shiftKey ? 10 : 1)),
  Home: () => go(0),
  End: () => go(clip.count - 1),
  PageUp: () => go(frame - clip.fps),
  PageDown: () => go(frame + clip.fps),
  ",": () => nextKey(-1),
  ".": () => nextKey(1),
  " ": play,
  n: addInMiddle,
  k: toggleKey,
  Delete: () => { if (drawing.keys[selected]?.[shown]) toggleKey(); },
  g: toggleEnd,
  t: () => $("trackall").click(),
  h: () => $("boxes").click(),
  Escape: () => { $("timeline").focus(); armed = false; render(); },
};

addEventListener("keydown", (event) => {
  if (!clip) return;
  const typing = event.target.closest("input:not([type=checkbox]), select");
  if (event.ctrlKey || event.metaKey) {
    if (typing?.type === "text" || !/^[zy]$/i.test(event.key)) return;
    event.preventDefault();
    return event.shiftKey || /y/i.test(event.key) ? redo() : undo();
  }
  if (event.altKey || (typing && event.key !== "Escape")) return;
  if (event.key === " " && event.target.closest("button, summary, input")) return;
  const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!act) return;
  event.preventDefault();
  if (!player || event.key !== " ") pause();
  act(event);
});

new ResizeObserver(renderSoon).observe($("left"));

// ---- camera

const camera = makeCamera({
  fail,
  deliver,
  begin: () => { location.hash = "live"; step("live"); },
  end: () => { if (location.hash === "#live") location.hash = ""; },
  show: (asked) => open(asked),
});
$("camera").onclick = telling(() => camera.start());
$("livekeep").onclick = telling(() => camera.keep());
$("livecsv").onclick = telling(() => camera.saveBoxes());
$("liveend").onclick = () => { location.hash = ""; };
addEventListener("pagehide", () => camera.end());

step("open");
if (location.hash === "#live") location.hash = "";  // a camera is not begun by a reload
else if (location.hash.length > 1) enter(location.hash.slice(1).split("/")[0]);
