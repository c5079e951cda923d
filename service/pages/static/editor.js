/** The documents as rows, and the whole body as JSON; what changes on one side shows on the other. */

import { byId, el, fitHeight } from "./dom.js";
import { bodyOf, filled, readBody, splitPasted } from "./request.js";

const MOST_ROWS = 300; // of text areas; the JSON editor has them all

export class Editor {
  /** `changed()` is called when a reader has changed anything, on either side. */
  constructor(request, changed) {
    this.request = request;
    this.changed = changed;
    this.rows = byId("rows");
    this.json = byId("json");
    this.#connect();
    this.show(request);
  }

  /** Show another request, on both sides. */
  show(request) {
    this.request = request;
    this.#fields();
    this.#rowsAnew();
    this.writeJson();
  }

  /** Write the JSON side from the fields. */
  writeJson() {
    this.json.value = JSON.stringify(bodyOf(this.request), null, 2);
    this.#valid("");
    byId("count").textContent = filled(this.request).length;
  }

  add(documents) {
    this.request.documents = [...filled(this.request), ...documents];
    this.#rowsAnew();
    this.#edited();
  }

  #connect() {
    for (const name of ["query", "instruction"]) {
      byId(name).addEventListener("input", (event) => {
        this.request[name] = event.target.value;
        fitHeight(event.target);
        this.#edited();
      });
    }
    this.json.addEventListener("input", () => this.#readJson());
    this.json.addEventListener("change", () => this.json.getAttribute("aria-invalid") === "true" || this.writeJson());
    byId("add").addEventListener("click", () => {
      this.request.documents.push("");
      this.#rowsAnew();
      this.#edited();
      this.rows.lastElementChild?.querySelector("textarea").focus();
    });
    byId("clear").addEventListener("click", () => {
      this.request.documents = [];
      this.#rowsAnew();
      this.#edited();
      this.rows.querySelector("textarea").focus();
    });
    byId("paste").addEventListener("click", () => this.#paste(byId("paste-box").hidden));
    byId("pasted").addEventListener("input", (event) => {
      const found = splitPasted(event.target.value).length;
      byId("paste-count").textContent = found ? `${found} ${found === 1 ? "document" : "documents"}` : "";
    });
    byId("paste-add").addEventListener("click", () => {
      this.add(splitPasted(byId("pasted").value));
      byId("pasted").value = "";
      this.#paste(false);
    });
    this.#tabs();
  }

  #paste(open) {
    byId("paste-box").hidden = !open;
    byId("paste").setAttribute("aria-expanded", String(open));
    byId("paste-count").textContent = "";
    (open ? byId("pasted") : byId("paste")).focus();
  }

  #tabs() {
    const tabs = [byId("tab-rows"), byId("tab-json")];
    const choose = (tab) => {
      for (const each of tabs) {
        each.setAttribute("aria-selected", String(each === tab));
        each.tabIndex = each === tab ? 0 : -1;
        byId(each.getAttribute("aria-controls")).hidden = each !== tab;
      }
      this.#fit();
    };
    for (const tab of tabs) {
      tab.addEventListener("click", () => choose(tab));
      tab.addEventListener("keydown", (event) => {
        if (!["ArrowLeft", "ArrowRight"].includes(event.key)) return;
        const other = tabs[1 - tabs.indexOf(tab)];
        choose(other);
        other.focus();
      });
    }
  }

  #fields() {
    for (const name of ["query", "instruction"]) {
      const area = byId(name);
      if (area.value !== this.request[name]) area.value = this.request[name];
      fitHeight(area);
    }
  }

  #rowsAnew() {
    if (!this.request.documents.length) this.request.documents.push("");
    const shown = this.request.documents.slice(0, MOST_ROWS);
    this.rows.replaceChildren(...shown.map((document, index) => this.#row(document, index)));
    this.#fit();
    const more = this.request.documents.length - shown.length;
    byId("more-rows").hidden = more === 0;
    byId("more-rows").textContent = `and ${more} more, which the JSON editor shows.`;
  }

  /** Heights are known only while the rows are shown. */
  #fit() {
    for (const area of this.rows.querySelectorAll("textarea")) fitHeight(area, 160);
  }

  #row(document, index) {
    const whole = typeof document === "string" ? document : JSON.stringify(document);
    const area = el("textarea", { rows: 1, "aria-label": `Document ${index}`, placeholder: "Text of a document; paste several at once" });
    area.value = whole;
    area.addEventListener("input", () => {
      this.request.documents[index] = typeof document === "string" ? area.value : objectOr(area.value);
      fitHeight(area, 160);
      this.#edited();
    });
    area.addEventListener("paste", (event) => this.#pasteInto(event, area));
    const remove = el("button", { type: "button", class: "plain remove", "aria-label": `Remove document ${index}`, onclick: () => this.#remove(index) }, "×");
    return el("li", {}, el("span", { class: "index", "aria-hidden": "true" }, String(index)), area, remove);
  }

  #pasteInto(event, area) {
    const text = event.clipboardData?.getData("text/plain") ?? "";
    const documents = splitPasted(text);
    if (area.value.trim() || documents.length < 2) return;
    event.preventDefault();
    this.add(documents);
  }

  #remove(index) {
    this.request.documents.splice(index, 1);
    this.#rowsAnew();
    this.#edited();
    const areas = this.rows.querySelectorAll("textarea");
    areas[Math.min(index, areas.length - 1)].focus();
  }

  #edited() {
    this.writeJson();
    this.changed();
  }

  #readJson() {
    let read;
    try {
      read = readBody(this.json.value);
    } catch (error) {
      this.#valid(error.message);
      return;
    }
    Object.assign(this.request, read);
    this.#valid("");
    this.#fields();
    this.#rowsAnew();
    byId("count").textContent = filled(this.request).length;
    this.changed();
  }

  #valid(message) {
    byId("json-error").textContent = message;
    this.json.setAttribute("aria-invalid", String(Boolean(message)));
  }
}

function objectOr(text) {
  try {
    const value = JSON.parse(text);
    return value !== null && typeof value === "object" ? value : text;
  } catch {
    return text;
  }
}
