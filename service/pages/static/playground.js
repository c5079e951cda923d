/** The playground: fields on one side, results on the other. */

import { Refusal, hasKey, info, rank, useKey } from "./client.js";
import { Column } from "./column.js";
import { byId, el, fitHeight, segments, toast } from "./dom.js";
import { Editor } from "./editor.js";
import { EXAMPLES } from "./examples.js";
import { KINDS, showFacts, showUnknown } from "./facts.js";
import { showRefusal } from "./refusal.js";
import { bodyOf, emptyRequest, withLeast } from "./request.js";
import { asCurl, asPython } from "./snippets.js";

const request = emptyRequest();
const page = { info: null, other: "", columns: [], running: null };
const editor = new Editor(request, () => showModes());

async function learn() {
  try {
    page.info = await info();
    showFacts(page.info);
    showModes();
    if (!byId("refusal").hidden && byId("refusal").dataset.status === "401") clearRefusal();
  } catch (refusal) {
    page.info = null;
    showUnknown(refusal.status === 401 ? "a key is needed" : "no answer");
    if (refusal.status === 401) askForKey(hasKey() ? "This key is not valid here." : "");
    refuse(refusal);
  }
}

function showModes() {
  const modes = [...(page.info?.modes ?? ["direct", "reasoning"])];
  if (request.mode && !modes.includes(request.mode) && page.info) modes.push(request.mode);
  const chosen = request.mode ?? page.info?.default_mode ?? "direct";
  segments(byId("modes"), "mode", modes.map((mode) => [mode, mode]), chosen, (mode) => {
    request.mode = mode;
    editor.writeJson();
    showModes();
  });
  const others = [["", "nothing"], ...modes.filter((mode) => mode !== chosen).map((mode) => [mode, mode])];
  if (page.other === chosen) page.other = "";
  segments(byId("others"), "other", others, page.other, (mode) => {
    page.other = mode;
    showModes();
  });
  byId("tokens-field").hidden = ![chosen, page.other].some((mode) => mode && mode !== "direct");
  byId("tokens").value = request.max_reasoning_tokens ?? "";
  byId("tokens").placeholder = page.info?.limits?.default_reasoning_tokens ?? "";
  byId("tokens").max = page.info?.limits?.max_reasoning_tokens ?? "";
  byId("spans").checked = request.relevant_spans?.mode === "enabled";
}

const chosenMode = () => request.mode ?? page.info?.default_mode ?? "direct";

async function run() {
  stop();
  clearRefusal();
  const body = bodyOf(request, chosenMode());
  if (!body.query.trim() || !body.documents.length) {
    const missing = body.query.trim() ? "There is no document yet." : "There is no query yet.";
    say(missing);
    (body.query.trim() ? byId("rows").querySelector("textarea") : byId("query")).focus();
    return;
  }
  const modes = page.other ? [chosenMode(), page.other] : [chosenMode()];
  page.columns = modes.map((mode) => new Column(mode, body.documents, body.rank_fields));
  byId("empty").hidden = true;
  byId("columns").hidden = false;
  byId("columns").replaceChildren(...page.columns.map((column) => column.node));
  byId("columns").classList.toggle("two", modes.length > 1);
  const control = new AbortController();
  page.running = control;
  busy(true);
  say(`Ranking ${body.documents.length} ${body.documents.length === 1 ? "document" : "documents"} …`);
  await Promise.all(page.columns.map((column, place) => fill(column, bodyOf(request, modes[place]), control)));
  if (page.running === control) {
    page.running = null;
    busy(false);
    finished();
  }
}

async function fill(column, body, control) {
  const begun = performance.now();
  const seconds = () => (performance.now() - begun) / 1000;
  const clock = setInterval(() => column.time(seconds()), 100);
  const on = {
    document: (result) => {
      column.document(result);
      later();
    },
    reasoning: (index, text, offset) => column.reasoning(index, text, offset),
    warning: (text) => column.note(text),
  };
  try {
    const { answer, timing } = await rank(body, control.signal, on);
    column.finish(answer, seconds(), timing);
    showKind(answer.meta?.score_kind);
  } catch (error) {
    const stopped = error.name === "AbortError";
    column.failed = true;
    column.end(`${stopped ? "stopped" : "failed"} after ${seconds().toFixed(1)} s · ${column.scored} of ${body.documents.length} scored`);
    if (!stopped) {
      if (!(error instanceof Refusal)) console.error(error);
      control.abort();
      refuse(error instanceof Refusal ? error : new Refusal(0, "The answer cannot be read."));
      if (error.status === 401) askForKey(hasKey() ? "This key is not valid here." : "");
    }
  } finally {
    clearInterval(clock);
  }
}

function finished() {
  const scored = page.columns.map((column) => column.scored);
  byId("columns").hidden = scored.every((count) => count === 0);
  if (page.columns.length > 1 && page.columns.every((column) => column.scored && !column.failed)) page.columns[1].compareWith(page.columns[0]);
  applyThreshold();
  if (scored.some(Boolean)) return;
  byId("empty").hidden = !byId("refusal").hidden;
}

function stop() {
  page.running?.abort();
}

let soon = false;
function later() {
  if (soon) return;
  soon = true;
  requestAnimationFrame(() => {
    soon = false;
    applyThreshold();
  });
}

function applyThreshold() {
  const threshold = Number(byId("threshold").value);
  byId("threshold-value").textContent = threshold.toFixed(2);
  const above = page.columns.map((column) => column.scored - column.applyThreshold(threshold));
  if (!page.columns.length || page.running) return;
  const [first] = page.columns;
  if (page.columns.some((column) => column.failed)) return say(first.scored ? `${first.scored} of ${first.documents.length} scored` : "");
  if (threshold) return say(`${above.join(" and ")} of ${first.scored} at or above ${threshold.toFixed(2)}`);
  return say(`${first.scored} ${first.scored === 1 ? "document" : "documents"} ranked`);
}

function showKind(kind) {
  byId("kind").hidden = !KINDS[kind];
  byId("kind").textContent = KINDS[kind] ?? "";
}

function refuse(refusal) {
  showRefusal(byId("refusal"), refusal, run);
  byId("empty").hidden = true;
  say("");
}

function clearRefusal() {
  byId("refusal").hidden = true;
  byId("refusal").replaceChildren();
  byId("empty").hidden = page.columns.length > 0;
}

function askForKey(note) {
  showKeyRow(true);
  byId("key").focus();
  if (note) byId("key-note").textContent = note;
}

function showKeyRow(shown) {
  byId("key-row").hidden = !shown;
  byId("key-button").setAttribute("aria-expanded", String(shown));
}

function busy(running) {
  const had = [byId("rank"), byId("stop")].includes(document.activeElement);
  byId("stop").hidden = !running;
  byId("rank").hidden = running;
  if (had) byId(running ? "stop" : "rank").focus();
  byId("results").setAttribute("aria-busy", String(running));
}

function say(text) {
  byId("status").textContent = text;
}

/** The body that is copied: what is ranked, less what the threshold dims. */
function shown() {
  const threshold = Number(byId("threshold").value);
  const body = bodyOf(request, chosenMode());
  return threshold ? withLeast(body, threshold) : body;
}

async function copy(title, text) {
  byId("snippet-title").textContent = title;
  byId("snippet-text").textContent = text;
  byId("snippet").showModal();
  try {
    await navigator.clipboard.writeText(text);
    byId("snippet-title").textContent = `${title}: copied`;
  } catch {
    getSelection().selectAllChildren(byId("snippet-text")); // without https a browser may refuse; the text is selected
  }
}

function connect() {
  byId("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    run();
  });
  byId("stop").addEventListener("click", stop);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      run();
    } else if (event.key === "Escape" && page.running) stop();
  });
  byId("threshold").addEventListener("input", applyThreshold);
  byId("tokens").addEventListener("input", (event) => {
    request.max_reasoning_tokens = Number.parseInt(event.target.value, 10) || null;
    editor.writeJson();
  });
  byId("spans").addEventListener("change", (event) => {
    request.relevant_spans = event.target.checked ? { mode: "enabled" } : null;
    editor.writeJson();
  });
  byId("curl").addEventListener("click", () => copy("curl", asCurl(shown(), hasKey())));
  byId("python").addEventListener("click", () => copy("Python", asPython(shown(), hasKey())));
  byId("key-button").addEventListener("click", () => {
    showKeyRow(byId("key-row").hidden);
    if (!byId("key-row").hidden) byId("key").focus();
  });
  byId("key-row").addEventListener("submit", (event) => {
    event.preventDefault();
    useKey(byId("key").value);
    showKeyRow(false);
    learn();
  });
  for (const name of ["facts", "snippet"]) byId(`${name}-close`).addEventListener("click", () => byId(name).close());
  byId("model").addEventListener("click", () => byId("facts").showModal());
  connectTheme();
}

function connectTheme() {
  const isDark = () => (document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const name = () => {
    byId("theme").textContent = isDark() ? "Light" : "Dark";
  };
  byId("theme").addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    name();
  });
  name();
}

function showExamples() {
  byId("examples").replaceChildren(
    ...EXAMPLES.map((example) =>
      el(
        "button",
        {
          type: "button",
          class: "secondary",
          onclick: () => {
            Object.assign(request, emptyRequest(), { mode: request.mode, query: example.query, documents: [...example.documents] });
            editor.show(request);
            toast("Press Rank, or Ctrl and Enter");
            byId("rank").focus();
          },
        },
        example.query,
      ),
    ),
  );
}

connect();
showModes();
showExamples();
addEventListener("resize", () => fitHeight(byId("query")));
learn();
