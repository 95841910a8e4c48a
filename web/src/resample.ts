/**
 * Pillow's antialiased resize, bit by bit: separable, in fixed point, rounded to 8 bits after
 * each pass (src/libImaging/Resample.c); across first, which Pillow 13 turns round for pictures that
 * are much taller than wide. `preprocess` says what is resized to what.
 */

export type Interpolation = "bilinear" | "bicubic" | "lanczos";
export type Size = [width: number, height: number];
export type Box = [left: number, top: number, right: number, bottom: number];

/** Rows of an image, four bytes a pixel (R, G, B and one that is not looked at). */
export type ReadRows = (top: number, count: number) => Uint8ClampedArray;

const PRECISION_BITS = 32 - 8 - 2;
const STRIP_ROWS = 256; // read at once, so that a large photo is never held whole

interface Filter {
  support: number;
  weight: (x: number) => number;
}

const FILTERS: Record<Interpolation, Filter> = {
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: { support: 2, weight: (x) => bicubic(Math.abs(x)) },
  lanczos: { support: 3, weight: (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0) },
};

function bicubic(x: number): number {
  const a = -0.5;
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

function sinc(x: number): number {
  return x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI);
}

/** For each pixel of the result: the first one that it is made of, and the weights from there on. */
interface Axis {
  first: Int32Array;
  weights: Int32Array[];
}

function axis(length: number, start: number, stop: number, wanted: number, filter: Filter): Axis {
  // Pillow holds the box in single precision.
  const scale = Math.fround(Math.fround(stop) - Math.fround(start)) / wanted;
  const stretch = Math.max(scale, 1);
  const support = filter.support * stretch;
  const found: Axis = { first: new Int32Array(wanted), weights: [] };
  for (let place = 0; place < wanted; place++) {
    const centre = Math.fround(start) + (place + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const last = Math.min(length, Math.trunc(centre + support + 0.5));
    const shares = Array.from({ length: last - first }, (_, index) =>
      filter.weight((index + first - centre + 0.5) * (1 / stretch)),
    );
    found.first[place] = first;
    found.weights.push(fixedPoint(shares));
  }
  return found;
}

function fixedPoint(shares: number[]): Int32Array {
  let total = 0;
  for (const share of shares) total += share;
  return Int32Array.from(shares, (share) => {
    const scaled = (total === 0 ? share : share / total) * (1 << PRECISION_BITS);
    return Math.trunc(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
  });
}

function clip8(sum: number): number {
  const value = sum >> PRECISION_BITS;
  return value < 0 ? 0 : value > 255 ? 255 : value;
}

/**
 * Resize a box of an image.
 *
 * @param read - gives rows of the image, `size[0]` pixels each
 * @param box - in pixels of the image, as Pillow's `Image.resize` takes it
 * @returns RGB, three bytes a pixel, of the wanted size
 */
export function resize(
  read: ReadRows,
  size: Size,
  wanted: Size,
  interpolation: Interpolation,
  box: Box = [0, 0, ...size],
): Uint8ClampedArray {
  const filter = FILTERS[interpolation];
  const across = axis(size[0], box[0], box[2], wanted[0], filter);
  const down = axis(size[1], box[1], box[3], wanted[1], filter);
  const end = down.first[wanted[1] - 1] + down.weights[wanted[1] - 1].length;
  const top = down.first[0];
  const narrowed = narrow(read, size[0], top, end, across);
  return shorten(narrowed, wanted, top, down);
}

function narrow(
  read: ReadRows,
  width: number,
  top: number,
  end: number,
  across: Axis,
): Uint8ClampedArray {
  const wanted = across.weights.length;
  const narrowed = new Uint8ClampedArray((end - top) * wanted * 3);
  let to = 0;
  for (let from = top; from < end; from += STRIP_ROWS) {
    const count = Math.min(STRIP_ROWS, end - from);
    const strip = read(from, count);
    for (let row = 0; row < count; row++) {
      for (let column = 0; column < wanted; column++, to += 3) {
        const weights = across.weights[column];
        let [red, green, blue] = [HALF, HALF, HALF];
        let at = (row * width + across.first[column]) * 4;
        for (let index = 0; index < weights.length; index++, at += 4) {
          const weight = weights[index];
          red += strip[at] * weight;
          green += strip[at + 1] * weight;
          blue += strip[at + 2] * weight;
        }
        narrowed[to] = clip8(red);
        narrowed[to + 1] = clip8(green);
        narrowed[to + 2] = clip8(blue);
      }
    }
  }
  return narrowed;
}

const HALF = 1 << (PRECISION_BITS - 1);

function shorten(
  narrowed: Uint8ClampedArray,
  [width, height]: Size,
  top: number,
  down: Axis,
): Uint8ClampedArray {
  const stride = width * 3;
  const result = new Uint8ClampedArray(height * stride);
  for (let row = 0; row < height; row++) {
    const weights = down.weights[row];
    const start = (down.first[row] - top) * stride;
    for (let column = 0; column < stride; column++) {
      let sum = HALF;
      let at = start + column;
      for (let index = 0; index < weights.length; index++, at += stride) {
        sum += narrowed[at] * weights[index];
      }
      result[row * stride + column] = clip8(sum);
    }
  }
  return result;
}
