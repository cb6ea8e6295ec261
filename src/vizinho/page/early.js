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
  root.dataset.view = asked.get("view") ?? "search";
})();
