// Large photos are shrunk before they are sent; small pictures go as they are, bit for bit, so
// that a picture of the gallery finds itself at 0.00.

export const LONGEST = 512;
const QUALITY = 0.9;

// -> { blob, width, height, from: { width, height } }; sizes are null where the browser can't
// decode the file: the server reads more formats than some browsers, so it is asked anyway.
export async function prepare(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    return { blob: file, width: null, height: null, from: null };
  }
  try {
    const from = { width: bitmap.width, height: bitmap.height };
    const share = LONGEST / Math.max(from.width, from.height);
    if (share >= 1) return { blob: file, ...from, from };
    const width = Math.max(1, Math.round(from.width * share));
    const height = Math.max(1, Math.round(from.height * share));
    return { blob: await draw(bitmap, width, height), width, height, from };
  } finally {
    bitmap.close();
  }
}

async function draw(bitmap, width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  // JPEG knows no transparency; the server lays it onto white too.
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, width, height);
  const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", QUALITY));
  if (!blob) throw new Error("the browser could not shrink the picture");
  return blob;
}
