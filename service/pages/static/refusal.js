/** What is shown instead of results: the server's own sentence, and what can be done. */

import { el, quiet } from "./dom.js";

const TITLES = {
  0: "No answer",
  400: "The request does not fit",
  401: "A key is needed",
  403: "Not allowed",
  404: "Not found",
  408: "Too slow",
  413: "Too large",
  422: "The request does not fit",
  429: "The limit of this key is reached",
  503: "The server is busy",
  504: "Not ready in time",
};

let counting;

/** Fill `box`. `again()` repeats the call. */
export function showRefusal(box, refusal, again) {
  clearInterval(counting);
  const title = TITLES[refusal.status] ?? (refusal.status >= 500 ? "The server failed" : "The server refused");
  const facts = [
    refusal.status ? `status ${refusal.status}` : "",
    refusal.field ? `field ${refusal.field}` : "",
    refusal.id ? `request ${refusal.id}` : "",
  ].filter(Boolean);
  const repeat = mayPass(refusal.status) && el("button", { type: "button", class: "secondary", onclick: again }, "Try again");
  box.replaceChildren(el("h2", {}, title), el("p", {}, refusal.message), el("div", { class: "row wrap" }, repeat, quiet(facts.join(" · "))));
  box.dataset.status = refusal.status;
  box.hidden = false;
  if (repeat && refusal.retryAfter) countDown(repeat, refusal.retryAfter);
}

/** True where the same call may get another answer later. */
const mayPass = (status) => status === 0 || status === 408 || status === 429 || status >= 500;

function countDown(button, seconds) {
  let left = Math.ceil(seconds);
  const show = () => {
    button.disabled = left > 0;
    button.textContent = left > 0 ? `Try again in ${left} s` : "Try again";
    if (left <= 0) clearInterval(counting);
    left -= 1;
  };
  counting = setInterval(show, 1000);
  show();
}
