/* Follows objects on the camera of the browser: its newest frame goes to the server, and its
   boxes come back before the next one goes. So nothing waits in a queue, and the picture that is
   shown is always the one that the boxes belong to. */

import {freeName} from "./annotation.js";
import {call, fetchFile, tell} from "./server.js";
import {iconButton, makeStage} from "./stage.js";

const LONGEST = 960;  // pixels of the longer side that are sent
const QUALITY = .85;  // of the JPEG
const SPAN = 2000;    // milliseconds over which frames a second are counted
const $ = (id) => document.getElementById(id);

/**
 * Makes the live camera.
 *   page: fail(error), deliver(blob, name), begin() and end(), which show and leave its screen,
 *     show(() => promise of a clip).
 */
export function makeCamera(page) {
  let on = null;  // what is known while it runs
  let selected = null, armed = false;
  const pad = $("livepad"), picture = $("livepicture"), grabbed = document.createElement("canvas");

  const stage = makeStage(pad, {
    select: (id) => { if (selected !== id || armed) { [selected, armed] = [id, false]; render(); } },
    isArmed: () => armed,
    // A box that is drawn elsewhere finds the chosen object again, if that is lost.
    target: () => !armed && on?.seen.get(selected)?.lost ? object(selected) : newObject(),
    change: draw,
    tap: () => { selected = null; render(); },
  });

  const object = (id) => on.objects.find((one) => one.id === id);
  const followed = () => on.objects.filter(({id}) => on.seen.has(id));

  function newObject() {
    const id = Math.max(0, ...on.objects.map((one) => one.id)) + 1;
    const taken = followed().map(({color}) => color);
    const color = on.colors.find((one) => !taken.includes(one)) ?? on.colors[id % on.colors.length];
    return {id, name: freeName(on), color, hidden: false};
  }

  // ---- begin and end

  async function start(model) {
    await end();
    const wanted = {width: {ideal: 640}, height: {ideal: 480}, frameRate: {ideal: 30}};
    const stream = await navigator.mediaDevices?.getUserMedia({video: wanted}).catch(() => null);
    if (!stream) throw new Error("the browser gives no camera; allow it, or open the page as localhost");
    const video = Object.assign(document.createElement("video"),
      {srcObject: stream, muted: true, playsInline: true});
    try {
      await video.play();
      const {id, models, colors} = await call("PUT", "cameras", JSON.stringify(model ? {model} : {}));
      on = {id, colors, stream, video, objects: [], seen: new Map(), orders: new Map(), shown: null,
        answered: [], recorded: true, wake: null, fresh: false, ended: null};
      $("livemodel").replaceChildren(...models.map((name) => new Option(name.split("/").at(-1), name)));
      $("livemodel").value = model ?? models[0];
    } catch (error) {
      for (const track of stream.getTracks()) track.stop();
      throw error;
    }
    const scale = Math.min(LONGEST / Math.max(video.videoWidth, video.videoHeight), 1);
    const [width, height] = [video.videoWidth, video.videoHeight].map((side) => Math.round(side * scale));
    for (const canvas of [picture, grabbed]) Object.assign(canvas, {width, height});
    $("livestage").style.setProperty("--ratio", width / height);
    [selected, armed] = [null, false];
    $("liveobjects").dataset.ids = "of another camera";
    page.begin();
    render();
    on.ended = run(on);
  }

  /** Stops the camera; the server forgets what it has shown. */
  function end() {
    if (!on) return null;
    const {id} = on;
    stop(on);
    return tell("DELETE", `cameras/${id}`);
  }

  function stop(one) {
    on = null;
    for (const track of one.stream.getTracks()) track.stop();
    one.wake?.();
  }

  // ---- the loop

  async function run(one) {
    const watch = () => one.video.requestVideoFrameCallback?.(tick) ?? setTimeout(tick, 33);
    const tick = () => {
      one.fresh = true;
      one.wake?.();
      if (on === one) watch();
    };
    watch();
    for (const track of one.stream.getTracks())
      track.onended = () => { if (on === one) leave(one, new Error("the camera has ended")); };
    try {
      while (on === one) {
        const [id] = one.orders.keys();
        if (id !== undefined) {
          const order = one.orders.get(id);
          one.orders.delete(id);
          await order();
        } else await follow(one);
      }
    } catch (error) {
      if (on === one) leave(one, error);
    }
  }

  function leave(one, error) {
    stop(one);
    tell("DELETE", `cameras/${one.id}`);
    page.end();
    page.fail(error);
  }

  async function follow(one) {
    if (!one.fresh) await new Promise((resolve) => { one.wake = resolve; });
    one.wake = null;
    one.fresh = false;
    if (on !== one) return;
    grabbed.getContext("2d").drawImage(one.video, 0, 0, grabbed.width, grabbed.height);
    if (!one.answered.length) paint();  // the first answer takes seconds
    const blob = await new Promise((resolve) => { grabbed.toBlob(resolve, "image/jpeg", QUALITY); });
    const news = await call("PUT", `cameras/${one.id}/frame`, blob);
    if (on !== one) return;
    one.answered.push(performance.now());
    one.answered = one.answered.filter((time) => time > performance.now() - SPAN);
    one.recorded = news.recorded;
    if (stage.isDragging()) return;  // the picture stands while a person draws in it
    const seen = new Map(news.rows.map(([id, x, y, w, h, confidence, lost]) =>
      [id, {box: [x, y, w, h], confidence, lost: Boolean(lost), key: false}]));
    for (const id of one.orders.keys())  // drawn or removed while this frame was on its way
      if (one.seen.has(id)) seen.set(id, one.seen.get(id)); else seen.delete(id);
    one.seen = seen;
    one.shown = {frame: news.frame, blob};
    paint();
    render();
  }

  const paint = () => picture.getContext("2d").drawImage(grabbed, 0, 0);

  // ---- what people do

  function draw(id, box) {
    const one = on;
    if (!one?.shown) return;
    const {frame, blob} = one.shown;
    const isNew = !object(id);
    if (isNew) one.objects.push({...newObject(), id});
    one.seen.set(id, {box, confidence: 1, lost: false, key: true});
    [selected, armed, one.told] = [id, false, 0];
    page.fail(null);
    // By its identity, so that of many corrections in a row the last one counts.
    one.orders.set(id, async () => {
      try {
        await call("PUT", `cameras/${one.id}/objects/${id}?frame=${frame}&box=${box}`, blob);
      } catch (error) {
        if (error.status !== 400) throw error;
        one.seen.delete(id);
        if (isNew) one.objects = one.objects.filter((item) => item.id !== id);
        page.fail(error);
      }
    });
    render();
  }

  function remove(id) {
    const one = on;
    one.seen.delete(id);
    one.told = 0;
    one.orders.set(id, () => call("DELETE", `cameras/${one.id}/objects/${id}`));
    render();
  }

  function addInMiddle() {
    const {width, height} = picture, {id} = newObject();
    draw(id, [width * .375, height * .375, width / 4, height / 4]);
    stage.focus(id);
  }

  function rename(id, text) {
    const name = text.trim();
    if (!name || on.objects.some((other) => other.id !== id && other.name === name)) {
      page.fail(new Error(name ? `there is an object ${name} already` : "every object needs a name"));
    } else object(id).name = name;
    $("liveobjects").dataset.ids = "to be written anew";
    render();
  }

  /** Tells the server how the objects are called. */
  const sendNames = ({id, objects}) => call("PUT", `cameras/${id}/objects`, JSON.stringify({objects}));

  /** Stops, and opens what was seen on the timeline. */
  async function keep() {
    const one = on;
    stop(one);
    await one.ended;
    try {
      await page.show(async () => {
        for (const order of one.orders.values()) await order();
        await sendNames(one);
        return call("PUT", `cameras/${one.id}/clip`);
      });
    } catch (error) {
      page.end();
      throw error;
    }
  }

  /** Saves all boxes so far; the loop goes on after that. */
  function saveBoxes() {
    const one = on;
    return new Promise((resolve, reject) => one.orders.set("csv", async () => {
      try {
        await sendNames(one);
        const {blob, name} = await fetchFile(`cameras/${one.id}/csv`);
        resolve(page.deliver(blob, name));
      } catch (error) { reject(error); }
    }));
  }

  $("livenew").onclick = (event) => {
    if (event.detail === 0) return addInMiddle();  // by key
    armed = !armed;
    render();
  };
  $("livemodel").onchange = () => start($("livemodel").value).catch((error) => { page.end(); page.fail(error); });
  addEventListener("keydown", (event) => {
    if (!on?.shown || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select")) return;
    if (event.key.toLowerCase() === "n") { event.preventDefault(); addInMiddle(); }
    if (event.key === "Escape") { armed = false; render(); }
    if ((event.key === "Delete" || event.key === "Backspace") && on.seen.has(selected)) remove(selected);
  });

  // ---- render

  function render() {
    if (!on) return;
    const items = followed().map((one) => ({...one, ...on.seen.get(one.id)}));
    stage.show([picture.width, picture.height], items, selected);
    renderObjects(items);
    const lost = items.filter((item) => item.lost).length;
    const rate = (on.answered.length - 1) / Math.max(on.answered.at(-1) - on.answered[0], 1) * 1000;
    const words = [`${picture.width} × ${picture.height}`,
      on.answered.length > 2 ? `${rate.toFixed(0)} frames a second` : "getting ready, some seconds the first time",
      items.length === 1 ? "1 object" : `${items.length} objects`];
    if (lost) words.push(`${lost} lost`);
    if (!on.recorded) words.push("the recording is full, following goes on");
    const now = performance.now();
    if (!(now - on.told < 500)) {  // so that it can be read
      $("livestatus").textContent = words.join(" · ");
      on.told = now;
    }
    $("livenew").setAttribute("aria-pressed", armed);
    $("livenew").disabled = $("livekeep").disabled = !on.shown;
    $("livecsv").disabled = !on.objects.length;
    $("livemodel").disabled = items.length > 0;
    const hint = !on.shown ? "" : armed || !items.length ? "Drag over the picture: a box around an object."
      : on.seen.get(selected)?.lost ? `Drag over the picture to draw ${object(selected).name} anew.` : "";
    if ($("livehint").textContent !== hint) $("livehint").textContent = hint;
    $("livehint").hidden = !hint;
  }

  function renderObjects(items) {
    const list = $("liveobjects"), ids = items.map(({id}) => id).join();
    if (list.dataset.ids !== ids) {
      list.dataset.ids = ids;
      list.replaceChildren(...items.map(({id, name, color}) => {
        const item = document.createElement("li");
        const swatch = Object.assign(document.createElement("span"), {className: "swatch"});
        swatch.style.background = color;
        const field = Object.assign(document.createElement("input"), {type: "text", value: name, maxLength: 40});
        field.setAttribute("aria-label", `Name of object ${name}`);
        field.onchange = () => rename(id, field.value);
        field.onkeydown = (event) => { if (event.key === "Enter") field.blur(); };
        const state = Object.assign(document.createElement("span"), {className: "state"});
        item.append(swatch, field, state, iconButton(`Stop following ${name}`, "M5 5l14 14M19 5L5 19", () => remove(id)));
        return item;
      }));
    }
    items.forEach(({id, key, lost, confidence}, index) => {
      const item = list.children[index], state = item.querySelector(".state");
      item.classList.toggle("chosen", id === selected);
      state.classList.toggle("lost", lost);
      state.textContent = lost ? "lost" : key ? "drawn" : `${Math.round(confidence * 100)}\u00a0%`;
    });
  }

  return {start, end, keep, saveBoxes, isOn: () => on !== null};
}
