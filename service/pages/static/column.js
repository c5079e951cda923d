/** The results of one mode: cards that move to their rank while scores come in. */

import { el } from "./dom.js";
import { number } from "./facts.js";
import { textOf } from "./request.js";
import { marked } from "./spans.js";

const FOLD_ABOVE = 200; // characters
const MOST_MOVING = 60; // cards that move visibly; more only jump

export class Column {
  /** `fields`: the request's rank_fields. */
  constructor(title, documents, fields = null) {
    this.documents = documents;
    this.fields = fields;
    this.took = null; // {seconds, tokens} of the whole answer
    this.entries = new Map(); // index -> {result, card, live}
    this.done = false;
    this.failed = false;
    this.title = title;
    this.figures = el("p", { class: "figures" }, "…");
    this.bar = el("progress", { max: documents.length || 1, value: 0, "aria-label": `${title}: documents scored` });
    this.change = el("p", { class: "change", hidden: true });
    this.notes = el("div", { class: "notes" });
    this.list = el("ol", { class: "cards", onkeydown: (event) => this.#arrows(event) });
    this.node = el("section", { class: "column", "aria-label": title }, el("header", {}, el("h2", {}, title), this.figures), this.change, this.bar, this.notes, this.list);
  }

  get scored() {
    return [...this.entries.values()].filter((entry) => entry.result).length;
  }

  document(result) {
    const entry = this.#entry(result.index);
    entry.result = result;
    this.#fill(entry);
    this.#soon();
  }

  reasoning(index, text, offset) {
    const entry = this.#entry(index);
    const before = offset == null ? entry.live : Array.from(entry.live).slice(0, offset).join("");
    entry.live = before + text;
    this.#fill(entry);
    this.#soon();
  }

  note(text, kind = "warning") {
    this.notes.append(el("p", { class: kind }, text));
  }

  time(seconds) {
    if (!this.done) this.figures.textContent = `${this.scored} of ${this.documents.length} · ${seconds.toFixed(1)} s`;
  }

  /** Show the whole answer; `seconds` as the reader waited, `timing` the server's own milliseconds or null. */
  finish(answer, seconds, timing) {
    const wanted = new Set(answer.results.map((result) => result.index));
    for (const [index, entry] of this.entries) {
      if (!wanted.has(index)) {
        entry.card.remove();
        this.entries.delete(index);
      }
    }
    for (const result of answer.results) {
      const entry = this.#entry(result.index);
      entry.result = result;
      this.#fill(entry);
    }
    const { prompt_tokens: read, cached_tokens: cached, completion_tokens: written } = answer.usage ?? {};
    this.took = { seconds, tokens: read == null ? null : read + (written ?? 0) };
    const tokens = read == null ? [] : [`${number(read)} tokens read`, cached ? `${number(cached)} of them cached` : "", written ? `${number(written)} written` : ""];
    const times = [`${seconds.toFixed(2)} s`, timing == null ? "" : `server ${(timing / 1000).toFixed(2)} s`];
    for (const text of answer.meta?.warnings ?? []) if (!this.notes.textContent.includes(text)) this.note(text);
    this.end([...times, ...tokens].filter(Boolean).join(" · "));
  }

  /** Nothing more comes. */
  end(text) {
    this.done = true;
    this.figures.textContent = text;
    this.bar.hidden = true;
    for (const entry of this.entries.values()) this.#fill(entry);
    this.#sort();
  }

  /** Show how far each document stands from its place in `other`, and what this mode took more than that. */
  compareWith(other) {
    const places = new Map(other.order().map((entry, place) => [entry.result.index, place]));
    const moves = this.order().filter((entry, place) => places.get(entry.result.index) !== place).length;
    const changes = [`${moves} of ${this.scored} moved`];
    if (this.took?.tokens != null && other.took?.tokens != null) changes.push(`${signed(this.took.tokens - other.took.tokens, 0)} tokens`);
    if (this.took && other.took) changes.push(`${signed(this.took.seconds - other.took.seconds, 2)} s`);
    this.change.textContent = `Against ${other.title}: ${changes.join(" · ")}`;
    this.change.hidden = false;
    this.order().forEach((entry, place) => {
      const before = places.get(entry.result.index);
      const moved = before == null ? null : before - place;
      const box = entry.card.querySelector(".moved");
      box.className = `moved ${moved > 0 ? "up" : moved < 0 ? "down" : "same"}`;
      box.textContent = moved == null ? "new" : moved > 0 ? `▲ ${moved}` : moved < 0 ? `▼ ${-moved}` : "=";
      box.title = moved == null ? `Not among the results of ${other.title}` : `${other.title} has it at ${before + 1}`;
      box.hidden = false;
    });
  }

  /** The scored entries, best first. */
  order() {
    return [...this.entries.values()]
      .filter((entry) => entry.result)
      .sort((a, b) => b.result.relevance_score - a.result.relevance_score || a.result.index - b.result.index);
  }

  /** Dim what is below the threshold, and return how many that are. */
  applyThreshold(threshold) {
    let below = 0;
    for (const entry of this.order()) {
      const low = entry.result.relevance_score < threshold;
      if (low) below += 1;
      entry.card.classList.toggle("first-below", low && below === 1);
      entry.card.classList.toggle("below", low);
    }
    return below;
  }

  #entry(index) {
    let entry = this.entries.get(index);
    if (!entry) {
      entry = { index, result: null, live: "", card: this.#card(index) };
      this.entries.set(index, entry);
      this.list.append(entry.card);
    }
    return entry;
  }

  #card(index) {
    const text = el("p", { class: "text" });
    return el(
      "li",
      { class: "card pending", tabindex: this.list.childElementCount ? "-1" : "0", "data-index": String(index) },
      el("div", { class: "place" }, el("span", { class: "rank" }, "·"), el("span", { class: "index", title: `documents[${index}]` }, `[${index}]`), el("span", { class: "moved", hidden: true })),
      el(
        "div",
        { class: "inside" },
        el("div", { class: "score-line" }, el("div", { class: "meter", "aria-hidden": "true" }, el("i")), el("span", { class: "score" }, "…")),
        text,
        el("div", { class: "foot" }, el("span", { class: "about" })),
      ),
    );
  }

  #fill(entry) {
    const { card, result, index } = entry;
    card.classList.toggle("pending", !result);
    const text = card.querySelector(".text");
    const whole = textOf(this.documents[index] ?? "", this.fields);
    text.replaceChildren(...marked(whole, result?.relevant_spans));
    this.#foldable(card, text, whole);
    if (result) {
      card.style.setProperty("--score", result.relevance_score);
      card.querySelector(".score").textContent = result.relevance_score.toFixed(3);
    }
    const about = [];
    if (result?.label_mass != null) about.push(`answer words ${(100 * result.label_mass).toFixed(1)} %`);
    if (result?.chunk) about.push(`best window: ${result.chunk.start} to ${result.chunk.end}`);
    if (result?.cached) about.push("cached");
    if (result?.status === "direct") about.push("not reasoned about");
    card.querySelector(".about").textContent = about.join(" · ");
    this.#reason(entry);
  }

  #foldable(card, text, whole) {
    const foot = card.querySelector(".foot");
    if (whole.length <= FOLD_ABOVE || foot.querySelector(".fold")) return;
    text.classList.add("folded");
    const fold = el("button", { type: "button", class: "plain fold", "aria-expanded": "false" }, "Show all");
    fold.addEventListener("click", () => {
      const folded = text.classList.toggle("folded");
      fold.textContent = folded ? "Show all" : "Fold";
      fold.setAttribute("aria-expanded", String(!folded));
    });
    foot.append(fold);
  }

  #reason({ card, result, live }) {
    const reasoning = result?.reasoning;
    const words = reasoning?.text ?? live;
    if (!words && (!reasoning || reasoning.status === "direct")) return;
    let box = card.querySelector("details");
    if (!box) {
      box = el("details", { class: "why" }, el("summary"), el("p"));
      card.querySelector(".inside").append(box);
    }
    if (!result) box.open = true;
    else if (card.dataset.closed !== "yes") {
      card.dataset.closed = "yes";
      box.open = false;
    }
    const about = reasoning ? `Reasoning · ${reasoning.tokens} tokens · ${String(reasoning.status).replaceAll("_", " ")}` : "Reasoning, being written";
    box.querySelector("summary").textContent = about;
    box.querySelector("p").textContent = words || "(none)";
  }

  #soon() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.#sort();
    });
  }

  #sort() {
    const pending = [...this.entries.values()].filter((entry) => !entry.result).sort((a, b) => a.index - b.index);
    const cards = [...this.order(), ...pending].map((entry) => entry.card);
    const moving = cards.length <= MOST_MOVING && !matchMedia("(prefers-reduced-motion: reduce)").matches;
    const before = moving ? new Map(cards.map((card) => [card, card.getBoundingClientRect().top])) : null;
    const focused = document.activeElement;
    cards.forEach((card, place) => {
      if (this.list.children[place] !== card) this.list.insertBefore(card, this.list.children[place] ?? null);
      card.querySelector(".rank").textContent = card.classList.contains("pending") ? "·" : String(place + 1);
    });
    if (cards.length && !cards.some((card) => card.isConnected && card.tabIndex === 0)) cards[0].tabIndex = 0; // its card may be gone
    if (focused && focused !== document.activeElement && this.list.contains(focused)) focused.focus({ preventScroll: true });
    this.bar.value = this.scored;
    if (!before) return;
    for (const card of cards) {
      const shift = before.get(card) - card.getBoundingClientRect().top;
      if (shift) card.animate([{ transform: `translateY(${shift}px)` }, { transform: "none" }], { duration: 220, easing: "ease-out" });
    }
  }

  #arrows(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || !event.target.classList.contains("card")) return;
    const next = event.target[step > 0 ? "nextElementSibling" : "previousElementSibling"];
    if (!next) return;
    event.preventDefault();
    event.target.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }
}

/** A difference with its sign. */
function signed(value, digits) {
  const shown = Math.abs(value).toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return `${value > 0 ? "+" : value < 0 ? "−" : "±"}${shown}`;
}
