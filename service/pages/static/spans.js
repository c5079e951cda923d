/** Relevant sentences marked in a document's text. */

import { el } from "./dom.js";

/**
 * The text as nodes, the spans in it as <mark>. A span is {start, end, score} in Unicode code points, half-open; spans
 * that overlap or lie outside the text are cut to what is left.
 */
export function marked(text, spans) {
  if (!spans?.length) return [text];
  const points = Array.from(text);
  const nodes = [];
  let done = 0;
  for (const { start, end, score } of [...spans].sort((a, b) => a.start - b.start)) {
    const from = Math.max(start, done);
    const to = Math.min(end, points.length);
    if (from >= to) continue;
    if (from > done) nodes.push(points.slice(done, from).join(""));
    const mark = el("mark", { title: score == null ? null : `Sentence: ${score.toFixed(3)}` }, points.slice(from, to).join(""));
    if (score != null) mark.style.setProperty("--score", score);
    nodes.push(mark);
    done = to;
  }
  if (done < points.length) nodes.push(points.slice(done).join(""));
  return nodes;
}
