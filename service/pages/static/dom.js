/** Small helpers around the document. Text only ever becomes text nodes: nothing here reads HTML. */

export const byId = (id) => document.getElementById(id);

/** Make an element: `el("p", {class: "x", onclick}, "text", child)`. Null and false children are left out. */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (typeof value === "boolean") node.toggleAttribute(name, value);
    else if (value != null) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child != null && child !== false));
  return node;
}

/** Let a text area be as high as its text, up to `most` pixels. */
export function fitHeight(area, most = 320) {
  area.style.height = "auto";
  area.style.height = `${Math.min(area.scrollHeight + 2, most)}px`;
}

/** A group of radio buttons that looks like one control with segments. */
export function segments(box, name, choices, chosen, changed) {
  const had = box.contains(document.activeElement);
  box.replaceChildren(
    ...choices.map(([value, text]) =>
      el(
        "label",
        {},
        el("input", { type: "radio", name, value, checked: value === chosen, onchange: () => changed(value) }),
        el("span", {}, text),
      ),
    ),
  );
  if (had) box.querySelector("input:checked")?.focus(); // so that the arrow keys go on
}

export const quiet = (text) => el("span", { class: "quiet" }, text);

let fading;
export function toast(text) {
  const box = byId("toast");
  box.textContent = text;
  box.classList.add("shown");
  clearTimeout(fading);
  fading = setTimeout(() => box.classList.remove("shown"), 2500);
}
