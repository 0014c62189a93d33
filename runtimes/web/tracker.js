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

/** Loads the manifest and both graphs of a folder. `providers` are those of onnxruntime. */
export async function openModel(folder, ort, providers = ["wasm"]) {
  const read = async (name) => {
    const answer = await fetch(folder + name).catch(() => ({ok: false}));
    if (!answer.ok) throw new Error(`${folder}${name} is missing; "make web" puts it there`);
    return answer;
  };
  const manifest = await (await read("manifest.json")).json();
  if (manifest.format !== FORMAT)
    throw new Error(`${folder} is of format ${manifest.format}, this page reads ${FORMAT}; export the model again`);
  const open = async (name) => ort.InferenceSession.create(
    await (await read(name)).arrayBuffer(), {executionProviders: providers});
  return {ort, manifest, exemplar: await open("exemplar.onnx"), search: await open("search.onnx")};
}

/** One object in one video. */
export class Tracker {
  #model; #settings; #crops; #adjust; #factors;
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
  }

  /** Takes the object of the first frame. */
  async init(frame, [x, y, width, height]) {
    this.#center = [x + width / 2, y + height / 2];
    const [cx, cy] = this.#center;
    if (!(width > 0 && height > 0 && cx >= 0 && cx <= frame.width && cy >= 0 && cy <= frame.height))
      throw new Error("the box must have a size, and its centre inside the frame");
    this.#size = this.#initialSize = [width, height];
    this.#fill = meanColor(frame);
    this.#exemplar = await this.#embed(frame, [this.#exemplarSide()]);
    const own = this.#exemplar.data.reduce((sum, value) => sum + value * value, 0);
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
    const crops = this.#cut(frame, sides, searchSize);
    const found = await this.#model.search.run({crops, exemplar: this.#exemplar});
    const scale = atSearch ? this.#bestScale(found.maximum.data) : 0;
    const pixels = stride * sides[scale] / searchSize;  // frame pixels of a response cell
    const limits = [frame.width, frame.height];
    this.#center = this.#center.map((value, axis) =>
      clamp(value + found.offset.data[2 * scale + axis] * pixels, 0, limits[axis]));
    if (atSearch) this.#resize(this.#factors[scale]);
    else if (this.#factors.length > 1)
      this.#resize(this.#factors[await this.#scaleAtPeak(frame)]);
    const score = found.score.data[scale];
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
    const exemplar = this.#exemplar.data, features = (await this.#embed(frame, sides)).data;
    const scores = sides.map((_, scale) => {
      let sum = 0;
      for (let i = 0; i < exemplar.length; i++)
        sum += exemplar[i] * features[scale * exemplar.length + i];
      return this.#adjust.gain * sum + this.#adjust.bias;
    });
    return this.#bestScale(scores);
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

  async #embed(frame, sides) {
    const crops = this.#cut(frame, sides, this.#crops.exemplar_size);
    return (await this.#model.exemplar.run({crops})).features;
  }

  /** Cuts squares around the object into a tensor [S, 3, size, size]. */
  #cut(frame, sides, size) {
    const plane = size * size, values = new Float32Array(sides.length * 3 * plane);
    sides.forEach((side, index) => crop(frame, this.#center, side, this.#fill, size,
      values.subarray(index * 3 * plane, (index + 1) * 3 * plane)));
    return new this.#model.ort.Tensor("float32", values, [sides.length, 3, size, size]);
  }
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
  const plane = size * size, strip = new Float32Array(width * 3);
  for (let i = 0; i < size; i++) {
    const upper = (rows.first[i] - top) * width, lower = (rows.second[i] - top) * width;
    for (let j = 0; j < width; j++)
      for (let c = 0; c < 3; c++)
        strip[3 * j + c] = rows.weight[i] * (pixels[4 * (upper + j) + c] - fill[c])
          + rows.rest[i] * (pixels[4 * (lower + j) + c] - fill[c]);
    for (let j = 0; j < size; j++) {
      const one = 3 * (columns.first[j] - left), other = 3 * (columns.second[j] - left);
      for (let c = 0; c < 3; c++)
        out[c * plane + i * size + j] = fill[c] + columns.weight[j] * strip[one + c]
          + columns.rest[j] * strip[other + c];
    }
  }
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
