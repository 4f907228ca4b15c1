// Packed pixels as pictures on canvases.

/** Packed pixels (height * width) as an image to be put; none of them is copied. */
export const packedImage = (pixels, height, width) =>
  new ImageData(new Uint8ClampedArray(pixels.buffer, pixels.byteOffset, pixels.byteLength), width, height);

/** Put an image on a canvas of its size. */
export function putImage(canvas, image) {
  if (canvas.width !== image.width) canvas.width = image.width;
  if (canvas.height !== image.height) canvas.height = image.height;
  canvas.getContext("2d").putImageData(image, 0, 0);
}

export const putPacked = (canvas, pixels, height, width) => putImage(canvas, packedImage(pixels, height, width));
