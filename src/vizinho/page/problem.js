// What went wrong, in words with what to do; one box per place.

import * as api from "./api.js";
import { make } from "./dom.js";
import { t } from "./words.js";

// A part of the page could not be fetched: only each browser's own words tell that.
const isFetching = ({ message }) => /dynamically imported module|module script/i.test(message);

export function asProblem(error) {
  if (error instanceof api.Problem) return error;
  if (isFetching(error)) return api.away();
  console.error(error);
  return new api.Problem(t("error.page"), t("error.page.do"));
}

// null clears the box.
export function complain(box, error, retry) {
  box.hidden = !error;
  if (!error) return box.replaceChildren();
  const { title, detail, again } = asProblem(error);
  const inside = [make("strong", "", { textContent: title }), make("span", "", { textContent: `${detail} ` })];
  if (again && retry) {
    const button = make("button", "link", { textContent: t("error.again") });
    button.addEventListener("click", retry);
    inside.push(button);
  }
  box.replaceChildren(...inside);
}
