// Three ways in: the file button, drag and drop anywhere on the page, paste.

export function listen({ box, input, button, take }) {
  button.addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    if (input.files.length) take(input.files[0]);
    input.value = ""; // so that the same file can be chosen again
  });

  let depth = 0; // dragenter and dragleave also fire for every element inside
  const leave = () => {
    depth = 0;
    box.classList.remove("over");
  };
  document.addEventListener("dragenter", (event) => {
    if (!carriesFile(event.dataTransfer)) return;
    depth += 1;
    box.classList.add("over");
  });
  document.addEventListener("dragleave", () => {
    depth -= 1;
    if (depth <= 0) leave();
  });
  document.addEventListener("dragover", (event) => {
    if (!carriesFile(event.dataTransfer)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
  });
  document.addEventListener("drop", (event) => {
    leave();
    const [file] = event.dataTransfer?.files ?? [];
    if (!file) return;
    event.preventDefault();
    take(file);
  });

  document.addEventListener("paste", (event) => {
    const [file] = event.clipboardData?.files ?? [];
    if (!file) return;
    event.preventDefault();
    take(file);
  });
}

const carriesFile = (data) => Boolean(data?.types.includes("Files"));
