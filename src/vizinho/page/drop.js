// What is dropped anywhere on the page, or pasted: pictures, or the address of one.

const OURS = "application/x-vizinho-key";

// on: { files(list), address(text), key(key) }; active() says whether this page takes it now.
export function listen(box, on, active) {
  let depth = 0; // dragenter and dragleave also fire for every element inside
  const leave = () => {
    depth = 0;
    box.classList.remove("over");
  };
  const when = (fn) => (event) => active() && fn(event);
  document.addEventListener("dragenter", when((event) => {
    if (!carries(event.dataTransfer)) return;
    depth += 1;
    box.classList.add("over");
  }));
  document.addEventListener("dragleave", when(() => {
    depth -= 1;
    if (depth <= 0) leave();
  }));
  document.addEventListener("dragover", when((event) => {
    if (!carries(event.dataTransfer)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
  }));
  document.addEventListener("drop", when((event) => {
    leave();
    if (take(event.dataTransfer, on)) event.preventDefault();
  }));
  document.addEventListener("paste", when((event) => {
    if (event.target.closest?.("input, textarea, select")) return; // it has a place of its own
    if (take(event.clipboardData, on)) event.preventDefault();
  }));
}

const carries = (data) =>
  ["Files", "text/uri-list", OURS].some((kind) => data?.types.includes(kind));

function take(data, on) {
  if (!data) return false;
  const key = data.getData(OURS);
  const files = [...data.files];
  const [line = ""] = (data.getData("text/uri-list") || data.getData("text/plain")).trim().split("\n");
  if (key) on.key(key);
  else if (files.length) on.files(files);
  else if (/^https?:\/\/\S+$/i.test(line.trim())) on.address(line.trim());
  else return false;
  return true;
}
