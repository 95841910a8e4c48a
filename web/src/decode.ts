/** From a file or a camera's picture to upright pixels; the browser's decoders do the work. */

import type { ReadRows, Size } from "./resample.ts";

const MOST_BYTES = 64 * 1024 * 1024;
const MOST_PIXELS = 120_000_000;
const SHOWN = 1024; // longest side of the copy that the page shows, in pixels

/** A photo that cannot be used; the message says what to do. */
export class PhotoError extends Error {}

/** First frame, EXIF turn applied, colours as the file holds them. */
export async function decode(photo: Blob | ImageBitmap): Promise<ImageBitmap> {
  if (photo instanceof ImageBitmap) return photo;
  if (photo.size === 0) throw new PhotoError("The file is empty. Choose another photo.");
  if (photo.size > MOST_BYTES) {
    throw new PhotoError("The file is larger than 64 MB. Choose a smaller photo.");
  }
  const bitmap = await opened(photo);
  if (bitmap.width * bitmap.height > MOST_PIXELS) {
    bitmap.close();
    throw new PhotoError("The photo has more than 120 million pixels. Choose a smaller one.");
  }
  return bitmap;
}

async function opened(photo: Blob): Promise<ImageBitmap> {
  try {
    return await createImageBitmap(photo, {
      imageOrientation: "from-image",
      colorSpaceConversion: "none",
      premultiplyAlpha: "none",
    });
  } catch {
    throw new PhotoError(
      "This is not a photo that the browser can read, or the file is broken. Choose another one.",
    );
  }
}

/** Rows of a picture on white, through a canvas no larger than what is asked for. */
export function rowsOf(bitmap: ImageBitmap): ReadRows {
  return (top, count) => {
    const canvas = new OffscreenCanvas(bitmap.width, count);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    if (!context) throw new PhotoError("The photo is too large for this device.");
    context.fillStyle = "white";
    context.fillRect(0, 0, bitmap.width, count);
    context.drawImage(bitmap, 0, -top);
    return context.getImageData(0, 0, bitmap.width, count).data;
  };
}

/** A copy of a size that a page shows. */
export function toShow(bitmap: ImageBitmap): Promise<ImageBitmap> {
  const [width, height] = shownSize([bitmap.width, bitmap.height]);
  return createImageBitmap(bitmap, {
    resizeWidth: width,
    resizeHeight: height,
    resizeQuality: "high",
  });
}

function shownSize(size: Size): Size {
  const shrink = Math.min(1, SHOWN / Math.max(...size));
  return [Math.max(1, Math.round(size[0] * shrink)), Math.max(1, Math.round(size[1] * shrink))];
}
