// What was dropped, folders with all that is in them: [{ file, name }], named by their paths.

export const HIDDEN = /^(\.|Thumbs\.db$|desktop\.ini$)/i; // what systems leave in folders

export async function dropped(data) {
  // Asked for at once: after the event they are gone.
  const files = [...data.files].map((file) => ({ file, name: file.name }));
  const entries = [...data.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return files;
  const found = [];
  for (const entry of entries) await walk(entry, found);
  return found;
}

async function walk(entry, found) {
  if (HIDDEN.test(entry.name)) return;
  const called = (how) => new Promise((done, failed) => how(done, failed));
  if (entry.isFile) {
    const file = await called((...ways) => entry.file(...ways)).catch(() => null);
    if (file) found.push({ file, name: entry.fullPath.slice(1) });
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    // A reader gives a hundred at a time.
    const some = await called((...ways) => reader.readEntries(...ways)).catch(() => []);
    if (!some.length) return;
    for (const each of some) await walk(each, found);
  }
}
