// Light, dark, or as the system says. Kept in localStorage: no cookie.

import { by } from "./dom.js";
import { onLanguage, t } from "./words.js";

const NEXT = { auto: "light", light: "dark", dark: "auto" };
const root = document.documentElement;
const now = () => root.dataset.theme ?? "auto";

export function start() {
  by("theme").addEventListener("click", () => choose(NEXT[now()]));
  onLanguage(name);
  name();
}

function choose(theme) {
  if (theme === "auto") delete root.dataset.theme;
  else root.dataset.theme = theme;
  try {
    if (theme === "auto") localStorage.removeItem("theme");
    else localStorage.setItem("theme", theme);
  } catch {
    // not kept, then
  }
  name();
  root.dispatchEvent(new CustomEvent("themechange")); // for who draws on a canvas
}

function name() {
  const text = t("frame.theme", { theme: t(`frame.theme.${now()}`) });
  by("theme").setAttribute("aria-label", text);
  by("theme").title = text;
}
