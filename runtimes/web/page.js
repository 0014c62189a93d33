// The page: a video or the camera on a canvas, boxes above it, one Tracker an object.

import {openModel, Tracker} from "./tracker.js";

const $ = (id) => document.getElementById(id);
const COLORS = ["#ff4040", "#40c8ff", "#78ff50", "#ffd200", "#ff5aff", "#005aff"];
const LOWEST_RATE = .0625;  // at which a browser plays
const SMALLEST = 6;  // screen pixels of a box; a smaller one is a tap
const context = $("picture").getContext("2d", {willReadFrequently: true});

let objects = [];      // {name, color, box, tracker, confidence, lost}; no tracker before it starts
let rows = [];         // [frame, time, object, box, score, confidence, lost], for the csv
let count = 0;         // objects that have been drawn, for their names
let following = false;
let selected = null;   // the object that keys move
let clip = null;       // the open video: {camera, number, time and interval of frames in seconds,
                       // rate at which it is played in steps and highest one,
                       // frames skipped and tracked, milliseconds spent on one, and where}

function fail(error) {
  $("error").hidden = !error;
  $("error").firstChild.textContent = error ? error.message : "";
}

/** Makes an action tell in the page what went wrong. */
const telling = (action) => async (...values) => {
  fail(null);
  try { await action(...values); } catch (error) { fail(error); }
};

// ---- the network

/** Loads onnxruntime and the model once, when the first video is opened. */
const loadModel = (() => {
  let loading = null;
  return () => loading ??= load().catch((error) => { loading = null; throw error; });
})();

async function load() {
  const found = await navigator.gpu?.requestAdapter().catch(() => null);
  const adapter = found?.info?.isFallbackAdapter ? null : found;  // that is a GPU in software
  const ort = await import(`./vendor/ort.${adapter ? "webgpu" : "wasm"}.min.mjs`)
    .catch(() => { throw new Error('vendor/ is missing; "make web" puts onnxruntime there'); });
  ort.env.wasm.wasmPaths = new URL("vendor/", location.href).href;
  // Threads share memory, which a browser allows where the server isolates the page.
  ort.env.wasm.numThreads = crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency) : 1;
  const {numThreads} = ort.env.wasm;
  const onCores = await timed(ort, "wasm", `${numThreads} of ${navigator.hardwareConcurrency} cores`);
  // So small a network may be faster on the cores than on a GPU, and a driver may refuse it.
  const onGpu = adapter && await timed(ort, "webgpu", "GPU").catch(() => null);
  return onGpu && onGpu.milliseconds < onCores.milliseconds ? onGpu : onCores;
}

/** Opens the model on a device and notes how long a frame takes there. */
async function timed(ort, provider, where) {
  const model = await openModel("model/", ort, [provider]);
  const blank = {width: 64, height: 64, pixels: (x, y, w, h) => new Uint8ClampedArray(4 * w * h)};
  const tracker = new Tracker(model), times = [];
  await tracker.init(blank, [16, 16, 32, 32]);
  for (let frame = 0; frame < 5; frame++) {
    const began = performance.now();
    await tracker.update(blank);
    times.push(performance.now() - began);
  }
  return {...model, where, milliseconds: Math.min(...times)};
}

// ---- open

function show(step) {
  document.querySelector("main").dataset.step = step;
  for (const element of document.querySelectorAll("[data-on]"))
    element.hidden = element.dataset.on !== step;
}

async function open(source) {
  const video = $("video");
  close();
  show("watch");
  const shown = new Promise((resolve) => video.requestVideoFrameCallback(
    (_, {mediaTime}) => resolve(mediaTime)));
  video[source instanceof MediaStream ? "srcObject" : "src"] =
    source instanceof MediaStream ? source : URL.createObjectURL(source);
  const broken = new Promise((_, reject) => {
    video.onerror = () => reject(new Error(`this browser cannot play ${source.name ?? "it"}`));
  });
  if (source instanceof MediaStream) await video.play();
  let time;
  try {
    time = await Promise.race([shown, broken]);
  } catch (error) {
    show("open");
    throw error;
  }
  clip = {camera: source instanceof MediaStream, number: 0, time, interval: Infinity,
    rate: .2, highestRate: 1, skipped: 0, spent: 0, tracked: 0};
  $("picture").width = video.videoWidth;
  $("picture").height = video.videoHeight;
  $("pad").setAttribute("viewBox", `0 0 ${video.videoWidth} ${video.videoHeight}`);
  $("stage").style.setProperty("--ratio", video.videoWidth / video.videoHeight);
  document.querySelector("[data-of=file]").hidden = clip.camera;
  context.drawImage(video, 0, 0);
  render();
  if (clip.camera) await play();
  loadModel().catch(fail);
}

function close() {
  const video = $("video");
  video.pause();
  for (const track of video.srcObject?.getTracks() ?? []) track.stop();
  if (video.src) URL.revokeObjectURL(video.src);
  video.removeAttribute("src");
  video.srcObject = null;
  [objects, rows, count, following, selected, clip] = [[], [], 0, false, null, null];
}

// ---- follow

/** The picture as Tracker takes it. */
const frame = {
  get width() { return $("picture").width; },
  get height() { return $("picture").height; },
  pixels: (x, y, width, height) => context.getImageData(x, y, width, height).data,
};

/** Shows the trackers what was drawn in the picture that stands. */
async function start() {
  const model = await loadModel();
  clip.where = model.where;
  for (const object of objects.filter(({tracker}) => !tracker)) {
    object.tracker = new Tracker(model);
    await object.tracker.init(frame, object.box);
    note(object, {box: object.box, score: NaN, confidence: 1, lost: false});
  }
}

function note(object, found) {
  Object.assign(object, found);
  rows.push([clip.number, clip.time.toFixed(6), object.name,
    ...found.box.map((value) => value.toFixed(4)), found.score.toFixed(4).toLowerCase(),
    found.confidence.toFixed(4), Number(found.lost)]);
}

/** Goes on to the next frame. */
async function play() {
  const video = $("video");
  video.playbackRate = inSteps() ? clip.rate : 1;
  video.requestVideoFrameCallback(telling(step));
  if (video.paused) await video.play();
}

/** Whether the video waits while a frame is worked on. */
const inSteps = () => !clip.camera && $("every").checked;

async function step(_, {mediaTime}) {
  if (!clip) return;
  const video = $("video"), opened = clip, began = performance.now();
  if (inSteps()) video.pause();
  context.drawImage(video, 0, 0);
  const passed = mediaTime - clip.time;
  if (passed > 0 || clip.camera) {
    if (passed > 0) clip.interval = Math.min(clip.interval, passed);
    const frames = passed > 0 ? Math.max(1, Math.round(passed / clip.interval)) : 1;
    if (following) clip.skipped += frames - 1;
    // Faster and faster, until this page is told of a frame too late; from then on slower.
    if (frames > 1) clip.highestRate = clip.rate = Math.max(LOWEST_RATE, clip.rate * .7);
    else clip.rate = Math.min(clip.highestRate, clip.rate * 1.02);
    clip.number += frames;
    clip.time = mediaTime;
    if (following) {
      for (const object of objects) {
        if (!object.tracker) continue;
        const found = await object.tracker.update(frame);
        if (clip !== opened) return;  // another video was opened meanwhile
        note(object, found);
      }
      await start();
      const spent = performance.now() - began;
      clip.spent += (spent - clip.spent) / Math.min(++clip.tracked, 20);
    }
  }
  render();
  if (clip.camera || following && !video.ended) await play();
}

function pause() {
  if (!clip.camera) $("video").pause();
  following = false;
  render();
}

async function follow() {
  if (following) return pause();
  $("follow").disabled = true;
  $("speed").textContent = "Getting ready";
  try { await start(); } finally { $("follow").disabled = false; }
  following = true;
  render();
  if (!clip.camera) await play();
}

function csv() {
  const header = "frame,time,object,x,y,w,h,score,confidence,lost";
  const text = [header, ...rows.map((row) => row.join(","))].join("\n") + "\n";
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], {type: "text/csv"}));
  link.download = "boxes.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

// ---- show

function svg(tag, attributes, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.textContent = text;
  return $("pad").appendChild(element);
}

/** Frame pixels in one pixel of the screen. */
const unit = () => frame.width / $("pad").clientWidth;

function render() {
  if (!clip) return;
  const u = unit();
  $("pad").replaceChildren();
  for (const {name, color, box: [x, y, width, height], lost} of objects) {
    svg("rect", {x, y, width, height, stroke: color, fill: color, class: lost ? "lost" : ""});
    const top = y > 22 * u ? y - 8 * u : y + height + 20 * u;
    svg("text", {x, y: top, fill: color, "font-size": 14 * u, "stroke-width": 3 * u}, name);
  }
  if ($("objects").children.length !== objects.length || $("objects").names !== names())
    renderList();
  objects.forEach((object, index) => {
    const item = $("objects").children[index];
    item.classList.toggle("lost", object.lost);
    item.querySelector("meter").hidden = !object.tracker;
    item.querySelector("meter").value = object.confidence;
    item.querySelector("small").textContent = object.lost ? "lost"
      : object.tracker ? object.confidence.toFixed(2) : "";
  });
  const over = $("video").ended && !following;
  $("follow").disabled = !objects.length || over;
  $("follow").textContent = following ? "Pause" : over ? "The video is over" : objects.length > 1
    ? `Follow ${objects.length} objects` : "Follow";
  $("csv").disabled = !rows.length;
  if (clip.tracked)
    $("speed").textContent = `${(1000 / clip.spent).toFixed(0)} frames a second, `
      + `${clip.spent.toFixed(0)} ms each on ${clip.where}; ${clip.tracked} frames done`
      + (clip.skipped ? `, ${clip.skipped} left out` : "");
}

const names = () => objects.map(({name}) => name).join();

function renderList() {
  $("objects").names = names();
  $("objects").replaceChildren(...objects.map((object) => {
    const item = document.createElement("li"), dot = document.createElement("i");
    dot.style.background = object.color;
    const name = document.createElement("span");
    name.textContent = object.name;
    const meter = document.createElement("meter");
    Object.assign(meter, {min: 0, max: 1, low: .3, high: .5, optimum: 1,
      ariaLabel: `Confidence of ${object.name}`});
    const remove = document.createElement("button");
    Object.assign(remove, {textContent: "✕", ariaLabel: `Remove ${object.name}`});
    remove.onclick = () => discard(object);
    item.append(dot, name, meter, document.createElement("small"), remove);
    return item;
  }));
}

// ---- draw

function add(box) {
  const color = COLORS[count++ % COLORS.length];
  selected = {name: `object ${count}`, color, box, tracker: null, confidence: 1, lost: false};
  objects.push(selected);
}

function discard(object) {
  objects = objects.filter((other) => other !== object);
  if (selected === object) selected = null;
  if (!objects.length && following) pause();
  render();
}

function place(event) {
  const area = $("pad").getBoundingClientRect();
  const within = (value, most) => Math.min(Math.max(value, 0), most);
  return [within((event.clientX - area.left) * unit(), frame.width),
          within((event.clientY - area.top) * unit(), frame.height)];
}

let drag = null;  // {anchor, box} while a finger or button is down

$("pad").onpointerdown = (event) => {
  if (drag || event.button) return;
  const [x, y] = place(event);
  drag = {anchor: [x, y], box: [x, y, 0, 0]};
  $("pad").setPointerCapture(event.pointerId);
};
$("pad").onpointermove = (event) => {
  if (!drag) return;
  const [x, y] = place(event), [ax, ay] = drag.anchor;
  drag.box = [Math.min(x, ax), Math.min(y, ay), Math.abs(x - ax), Math.abs(y - ay)]
    .map((value) => Math.round(value * 10) / 10);
  render();
  const [left, top, width, height] = drag.box;
  svg("rect", {x: left, y: top, width, height, stroke: "#fff", fill: "#fff"});
};
$("pad").onpointerup = $("pad").onpointercancel = (event) => {
  if (!drag) return;
  const {box} = drag;
  drag = null;
  if (event.type === "pointerup" && Math.min(box[2], box[3]) >= SMALLEST * unit()) add(box);
  render();
};

const ARROWS = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};

$("pad").onkeydown = (event) => {
  const {width, height} = frame, arrow = ARROWS[event.key], far = 4 * unit();
  if (event.key === "Enter") add([width * 3 / 8, height * 3 / 8, width / 4, height / 4]);
  else if (event.key === "Delete" && selected) discard(selected);
  else if (arrow && selected && !selected.tracker) {
    const [x, y, w, h] = selected.box, [dx, dy] = arrow.map((value) => value * far);
    selected.box = event.shiftKey
      ? [x, y, Math.max(w + dx, SMALLEST), Math.max(h + dy, SMALLEST)]
      : [Math.min(Math.max(x + dx, 0), width - w), Math.min(Math.max(y + dy, 0), height - h), w, h];
  } else return;
  event.preventDefault();
  render();
};

// ---- buttons

$("choose").onclick = () => $("file").click();
$("file").onchange = telling(async () => {
  const [file] = $("file").files;
  $("file").value = "";
  if (file) await open(file);
});
$("camera").onclick = telling(async () => {
  const video = {facingMode: "environment", width: {ideal: 640}};
  const stream = await navigator.mediaDevices?.getUserMedia({video}).catch(() => null);
  if (!stream) throw new Error("there is no camera, or this page may not use it");
  await open(stream);
});
$("drop").ondragover = (event) => { event.preventDefault(); $("drop").classList.add("over"); };
$("drop").ondragleave = () => $("drop").classList.remove("over");
$("drop").ondrop = telling(async (event) => {
  event.preventDefault();
  $("drop").classList.remove("over");
  if (event.dataTransfer.files.length) await open(event.dataTransfer.files[0]);
});
$("video").onended = () => { if (clip) pause(); };
$("follow").onclick = telling(follow);
$("csv").onclick = csv;
$("other").onclick = () => { close(); show("open"); };
$("error").querySelector("button").onclick = () => fail(null);
addEventListener("resize", render);
show("open");
