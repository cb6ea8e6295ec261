// Runs before anything is drawn, so that no wrong colour or language flashes up.
(() => {
  const read = (name) => {
    try {
      return localStorage.getItem(name);
    } catch {
      return null; // storage may be forbidden
    }
  };
  const root = document.documentElement;
  const asked = new URLSearchParams(location.search);
  const theme = read("theme");
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  const said = asked.get("lang") ?? read("lang") ?? navigator.language ?? "en";
  root.lang = /^pt\b/i.test(said) ? "pt-BR" : "en";
  if (["key", "url", "like"].some((name) => asked.has(name))) root.dataset.asked = "";
  root.dataset.view = ["map", "care"].includes(asked.get("view")) ? asked.get("view") : "search";

  // Pictures that come before ask.js is there to take them are kept for it. One that misses its
  // place must not take this page's place in the window.
  window.early = [];
  const keeps = () => window.early && root.dataset.view !== "care";
  const dragged = (act) => (event) => {
    if (event.defaultPrevented || !event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    act(event.dataTransfer);
  };
  addEventListener("dragover", dragged((data) => (data.dropEffect = keeps() ? "copy" : "none")));
  addEventListener("drop", dragged(({ files }) => keeps() && window.early.push(...files)));
  addEventListener("paste", ({ clipboardData }) => keeps() && window.early.push(...clipboardData.files));
})();
