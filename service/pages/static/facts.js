/** What /info tells about the model, in the header and in a dialog. */

import { byId, el } from "./dom.js";

export const KINDS = {
  fitted: "Scores are calibrated: of documents with 0.7, about 7 in 10 are relevant to questions like those it was fitted on.",
  own: "Scores are the model's own probabilities, not calibrated: compare them within this model.",
  order: "This model only orders documents: its numbers say nothing by themselves, so a threshold means little.",
};

const ROWS = [
  ["Model", (info) => info.model?.name],
  ["Revision", (info) => info.model?.revision],
  ["Kind", (info) => info.model?.kind],
  ["Made from", (info) => info.model?.base],
  ["Fingerprint", (info) => info.model?.fingerprint],
  ["Prompt", (info) => named(info.model?.format)],
  ["Scores", (info) => KINDS[info.model?.score] ?? info.model?.score],
  ["Licences", (info) => info.model?.licences?.join(", ")],
  ["Engine", (info) => [info.engine?.name, info.engine?.version].filter(Boolean).join(" ")],
  ["Device", (info) => [info.engine?.device, info.engine?.dtype].filter(Boolean).join(", ")],
  ["Modes", (info) => info.modes?.join(", ")],
  ["Documents of a call", (info) => number(info.limits?.max_documents)],
  ["Tokens of the model", (info) => number(info.limits?.max_model_tokens)],
  ["Reasoning tokens", (info) => info.limits && `${number(info.limits.default_reasoning_tokens)}, at most ${number(info.limits.max_reasoning_tokens)}`],
  ["Service", (info) => `limrank ${info.version}`],
];

export const number = (value) => (value == null ? null : Number(value).toLocaleString("en"));
const named = (format) => (format && typeof format === "object" ? format.name : format);

export function showFacts(info) {
  byId("model-name").textContent = info.model?.name ?? "unknown model";
  byId("model-about").textContent = [info.engine?.name, info.engine?.device].filter(Boolean).join(" · ");
  byId("model").disabled = false;
  byId("model").dataset.state = "known";
  const list = el("dl");
  for (const [title, read] of ROWS) {
    const value = read(info);
    if (value != null && value !== "") list.append(el("dt", {}, title), el("dd", {}, String(value)));
  }
  const whole = el("details", {}, el("summary", {}, "All that /info answers"), el("pre", { class: "code", tabindex: "0" }, JSON.stringify(info, null, 2)));
  byId("facts-body").replaceChildren(list, whole);
}

export function showUnknown(text) {
  byId("model-name").textContent = text;
  byId("model-about").textContent = "";
  byId("model").disabled = true;
  byId("model").dataset.state = "unknown";
}
