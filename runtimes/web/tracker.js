// The tracker: files that `siamfc export` wrote, run by onnxruntime-web.
//
//   const model = await openModel("model/", ort);
//   const tracker = new Tracker(model);
//   await tracker.init(frame, [62, 36, 50, 64]);
//   const {box, score, confidence, lost} = await tracker.update(nextFrame);
//
// A frame is {width, height, pixels(x, y, width, height)}, where pixels returns the bytes RGBA of a
// part, as CanvasRenderingContext2D.getImageData has them in `data`. Boxes are [x, y, w, h] in
// continuous, 0-based frame pixels: the left top pixel covers [0, 1) x [0, 1).
// Bertinetto et al. 2016, section 3.4.

const FORMAT = 1;  // of the manifest
const CELLS = 6;   // side of an exemplar's features, for which a loop below is written out

/** Loads the manifest and the network of a folder. `providers` are those of onnxruntime. */
export async function openModel(folder, ort, providers = ["wasm"]) {
  const read = async (name) => {
    const answer = await fetch(folder + name).catch(() => ({ok: false}));
    if (!answer.ok) throw new Error(`${folder}${name} is missing; "make web" puts it there`);
    return answer;
  };
  const manifest = await (await read("manifest.json")).json();
  if (manifest.format !== FORMAT)
    throw new Error(`${folder} is of format ${manifest.format}, this page reads ${FORMAT}; export the model again`);
  // search.onnx is left aside: its many small operators behind the network take longer in wasm
  // than the same sums here.
  const network = await ort.InferenceSession.create(
    await (await read("exemplar.onnx")).arrayBuffer(), {executionProviders: providers});
  return {ort, manifest, network};
}

/** One object in one video. */
export class Tracker {
  #model; #settings; #crops; #adjust; #factors; #taps; #window;
  #exemplar = null; #ownResponse; #center; #size; #initialSize; #fill; #lowFrames = 0;
  confidence = 1;  // in [0, 1], how sure the tracker is of the last box
  lost = false;

  constructor(model) {
    this.#model = model;
    this.#settings = model.manifest.tracker;
    this.#crops = model.manifest.crops;
    this.#adjust = model.manifest.adjust;
    const {num_scales: count, scale_step: step} = this.#settings;
    this.#factors = Array.from({length: count}, (_, index) => step ** (index - (count - 1) / 2));
    const {exemplar_size, search_size, stride, upsampling} = this.#crops;
    this.#taps = cubicTaps((search_size - exemplar_size) / stride + 1, upsampling);
    this.#window = cosineWindow(this.#taps.cells.length / 4);
  }

  /** Takes the object of the first frame. */
  async init(frame, [x, y, width, height]) {
    this.#center = [x + width / 2, y + height / 2];
    const [cx, cy] = this.#center;
    if (!(width > 0 && height > 0 && cx >= 0 && cx <= frame.width && cy >= 0 && cy <= frame.height))
      throw new Error("the box must have a size, and its centre inside the frame");
    this.#size = this.#initialSize = [width, height];
    this.#fill = meanColor(frame);
    [this.#exemplar] = await this.#embed(frame, [this.#exemplarSide()], this.#crops.exemplar_size);
    const own = this.#exemplar.reduce((sum, value) => sum + value * value, 0);
    this.#ownResponse = Math.max(this.#adjust.gain * own, 1e-38);
    this.confidence = 1;
    this.lost = false;
    this.#lowFrames = 0;
  }

  /** Finds the object in the next frame. */
  async update(frame) {
    const {exemplar_size: exemplarSize, search_size: searchSize, stride} = this.#crops;
    const atSearch = this.#settings.scales_on === "search";
    const sides = (atSearch ? this.#factors : [1])
      .map((factor) => this.#exemplarSide() * factor * searchSize / exemplarSize);
    const peaks = (await this.#embed(frame, sides, searchSize)).map((features) => this.#peak(features));
    const scale = atSearch ? this.#bestScale(peaks.map(({maximum}) => maximum)) : 0;
    const pixels = stride * sides[scale] / searchSize;  // frame pixels of a response cell
    const limits = [frame.width, frame.height];
    this.#center = this.#center.map((value, axis) =>
      clamp(value + peaks[scale].offset[axis] * pixels, 0, limits[axis]));
    if (atSearch) this.#resize(this.#factors[scale]);
    else if (this.#factors.length > 1)
      this.#resize(this.#factors[await this.#scaleAtPeak(frame)]);
    const {score} = peaks[scale];
    this.#updateConfidence(score);
    const [width, height] = this.#size, [x, y] = this.#center;
    const box = [x - width / 2, y - height / 2, width, height];
    return {box, score, confidence: this.confidence, lost: this.lost};
  }

  /** Side in frame pixels of the square that an exemplar crop shows. */
  #exemplarSide() {
    const [width, height] = this.#size, margin = this.#settings.context * (width + height);
    return Math.sqrt((width + margin) * (height + margin));
  }

  #bestScale(scores) {
    const penalized = Array.from(scores, (score, index) =>
      score * (index === scores.length >> 1 ? 1 : this.#settings.scale_penalty));
    return penalized.indexOf(Math.max(...penalized));
  }

  /** Compares small crops at the new place with the exemplar; returns the best scale. */
  async #scaleAtPeak(frame) {
    const sides = this.#factors.map((factor) => this.#exemplarSide() * factor);
    const exemplar = this.#exemplar;
    const embedded = await this.#embed(frame, sides, this.#crops.exemplar_size);
    return this.#bestScale(embedded.map((features) => {
      let sum = 0;
      for (let i = 0; i < exemplar.length; i++) sum += exemplar[i] * features[i];
      return this.#adjust.gain * sum + this.#adjust.bias;
    }));
  }

  #resize(factor) {
    // One factor for both sides, so that clamping keeps the shape of the box.
    const {scale_rate: rate, min_scale: least, max_scale: most} = this.#settings;
    const growth = this.#size[0] / this.#initialSize[0] * (1 + rate * (factor - 1));
    this.#size = this.#initialSize.map((side) => side * clamp(growth, least, most));
  }

  /** Lost after several frames in a row of low confidence, found again above another limit. */
  #updateConfidence(score) {
    const settings = this.#settings, share = (score - this.#adjust.bias) / this.#ownResponse;
    const logit = settings.confidence_score * score + settings.confidence_share * share;
    this.confidence = 1 / (1 + Math.exp(-(logit + settings.confidence_bias)));
    const low = this.lost ? this.confidence <= settings.found_above
      : this.confidence < settings.lost_below;
    this.#lowFrames = low ? this.#lowFrames + 1 : 0;
    this.lost = low && (this.lost || this.#lowFrames >= settings.lost_after);
  }

  /** Cuts squares around the object and embeds them; features [C, h, w] of each. */
  async #embed(frame, sides, size) {
    const plane = size * size, values = new Float32Array(sides.length * 3 * plane);
    sides.forEach((side, index) => crop(frame, this.#center, side, this.#fill, size,
      values.subarray(index * 3 * plane, (index + 1) * 3 * plane)));
    const {ort, network} = this.#model;
    const crops = new ort.Tensor("float32", values, [sides.length, 3, size, size]);
    const {data} = (await network.run({crops})).features, length = data.length / sides.length;
    return sides.map((_, index) => data.subarray(index * length, (index + 1) * length));
  }

  /** Slides the exemplar over the features of a search; finds the peak under the window. */
  #peak(features) {
    const response = correlate(this.#exemplar, features);
    const {gain, bias} = this.#adjust, {window_influence: influence} = this.#settings;
    const fine = upsample(response.map((value) => gain * value + bias), this.#taps);
    const side = this.#window.length;
    let minimum = Infinity, maximum = -Infinity, sum = 0;
    for (let i = 0; i < fine.length; i++) {
      const value = fine[i];
      if (value < minimum) minimum = value;
      if (value > maximum) maximum = value;
      sum += value;
    }
    const share = (1 - influence) / Math.max(sum - minimum * fine.length, 1e-38);
    let place = 0, best = -Infinity;
    for (let row = 0, i = 0; row < side; row++) {
      const height = influence * this.#window[row];
      for (let column = 0; column < side; column++, i++) {
        const value = share * (fine[i] - minimum) + height * this.#window[column];
        if (value > best) { best = value; place = i; }
      }
    }
    const {upsampling} = this.#crops, middle = (side - 1) / 2;
    const offset = [place % side, Math.floor(place / side)].map((at) => (at - middle) / upsampling);
    return {maximum, offset, score: fine[place]};
  }
}

/** Slides an exemplar [C, 6, 6] over features [C, h, h]; the response [h - 5, h - 5]. */
function correlate(exemplar, features) {
  const channels = exemplar.length / CELLS ** 2, columns = Math.sqrt(features.length / channels);
  const side = columns - CELLS + 1, response = new Float64Array(side * side);
  for (let k = 0; k < exemplar.length; k += CELLS) {  // a row of the exemplar, its six cells at once
    const a = exemplar[k], b = exemplar[k + 1], c = exemplar[k + 2];
    const d = exemplar[k + 3], e = exemplar[k + 4], f = exemplar[k + 5];
    const channel = Math.floor(k / CELLS ** 2), above = k / CELLS % CELLS;
    for (let row = 0, to = 0; row < side; row++) {
      let from = (channel * columns + row + above) * columns;
      let p = features[from], q = features[from + 1], r = features[from + 2];
      let s = features[from + 3], t = features[from + 4];
      from += 5;
      for (let column = 0; column < side; column++, to++) {
        const u = features[from++];
        response[to] += a * p + b * q + c * r + d * s + e * t + f * u;
        p = q; q = r; r = s; s = t; t = u;
      }
    }
  }
  return response;
}

const clamp = (value, least, most) => Math.min(Math.max(value, least), most);

function meanColor(frame) {
  const pixels = frame.pixels(0, 0, frame.width, frame.height), sums = [0, 0, 0];
  for (let i = 0; i < pixels.length; i += 4)
    for (let c = 0; c < 3; c++) sums[c] += pixels[i + c];
  return sums.map((sum) => sum / (frame.width * frame.height));
}

/** Cuts one square, bilinear, into planes of red, green and blue. `fill` mixes with the border
 * pixels as if it were around the frame. */
function crop(frame, [x, y], side, fill, size, out) {
  const columns = taps(x, side, size, frame.width), rows = taps(y, side, size, frame.height);
  const left = columns.low, top = rows.low;
  const width = columns.high - left + 1, height = rows.high - top + 1;
  const pixels = frame.pixels(left, top, width, height);
  const plane = size * size, strip = new Float32Array(width * 3), [red, green, blue] = fill;
  const {first, second, weight, rest} = columns;
  for (let i = 0; i < size; i++) {
    const over = rows.weight[i], under = rows.rest[i];
    let upper = 4 * (rows.first[i] - top) * width, lower = 4 * (rows.second[i] - top) * width;
    for (let j = 0; j < strip.length; j += 3, upper += 4, lower += 4) {
      strip[j] = over * (pixels[upper] - red) + under * (pixels[lower] - red);
      strip[j + 1] = over * (pixels[upper + 1] - green) + under * (pixels[lower + 1] - green);
      strip[j + 2] = over * (pixels[upper + 2] - blue) + under * (pixels[lower + 2] - blue);
    }
    for (let j = 0, to = i * size; j < size; j++, to++) {
      const one = 3 * (first[j] - left), other = 3 * (second[j] - left);
      const near = weight[j], far = rest[j];
      out[to] = red + near * strip[one] + far * strip[other];
      out[to + plane] = green + near * strip[one + 1] + far * strip[other + 1];
      out[to + 2 * plane] = blue + near * strip[one + 2] + far * strip[other + 2];
    }
  }
}

/** For each sample of an up-sampled row of cells four cells, and their weights in Keys' cubic with
 * a = -.5. Cell i stands at sample `upsampling` * i; the border cell is repeated. */
function cubicTaps(count, upsampling) {
  const samples = upsampling * (count - 1) + 1;
  const cells = new Int32Array(4 * samples), weights = new Float64Array(4 * samples);
  for (let i = 0; i < cells.length; i++) {
    const position = Math.floor(i / 4) / upsampling, cell = Math.floor(position) + i % 4 - 1;
    const d = Math.abs(position - cell);
    cells[i] = clamp(cell, 0, count - 1);
    weights[i] = d <= 1 ? 1.5 * d ** 3 - 2.5 * d ** 2 + 1
      : d < 2 ? -.5 * d ** 3 + 2.5 * d ** 2 - 4 * d + 2 : 0;
  }
  return {cells, weights};
}

/** Up-samples logits [r, r] to [s, s], where there are taps for s samples. */
function upsample(logits, {cells, weights}) {
  const side = cells.length / 4, count = Math.sqrt(logits.length);
  const tall = new Float64Array(count), fine = new Float64Array(side * side);
  for (let row = 0, to = 0; row < side; row++) {
    tall.fill(0);
    for (let tap = 4 * row; tap < 4 * row + 4; tap++)
      for (let k = 0; k < count; k++) tall[k] += weights[tap] * logits[cells[tap] * count + k];
    for (let tap = 0; tap < cells.length; tap += 4)
      fine[to++] = weights[tap] * tall[cells[tap]] + weights[tap + 1] * tall[cells[tap + 1]]
        + weights[tap + 2] * tall[cells[tap + 2]] + weights[tap + 3] * tall[cells[tap + 3]];
  }
  return fine;
}

/** One row of a cosine window that sums to 1. */
function cosineWindow(side) {
  const hann = Float64Array.from({length: side}, (_, i) =>
    .5 - .5 * Math.cos(2 * Math.PI * i / (side - 1)));
  const sum = hann.reduce((total, value) => total + value);
  return hann.map((value) => value / sum);
}

/** The two pixels that each of `size` samples lies between, and their weights. */
function taps(center, side, size, extent) {
  const first = new Int32Array(size), second = new Int32Array(size);
  const weight = new Float32Array(size), rest = new Float32Array(size);
  for (let i = 0; i < size; i++) {
    const position = center - .5 + ((i + .5) / size - .5) * side, pixel = Math.floor(position);
    first[i] = clamp(pixel, 0, extent - 1);
    second[i] = clamp(pixel + 1, 0, extent - 1);
    weight[i] = pixel >= 0 && pixel < extent ? pixel + 1 - position : 0;
    rest[i] = pixel >= -1 && pixel < extent - 1 ? position - pixel : 0;
  }
  return {first, second, weight, rest, low: first[0], high: second[size - 1]};
}
