/** The request as a command for a shell and as a program. Neither holds the key. */

const endpoint = () => new URL("rerank", document.baseURI).href;
const LONGEST_ARGUMENT = 100_000; // bytes; Linux takes 128 KiB
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

export function asCurl(body, withKey) {
  const lines = [`curl -s ${quoted(endpoint())}`, `  -H 'Content-Type: application/json'`];
  if (withKey) lines.push(`  -H "Authorization: Bearer $LIMRANK_KEY"`);
  const text = JSON.stringify(body, null, 2);
  const fits = new TextEncoder().encode(text).length <= LONGEST_ARGUMENT;
  lines.push(fits ? `  -d ${quoted(text)}` : `  --data-binary @- <<'BODY'\n${text}\nBODY\n`);
  return lines.join(" \\\n");
}

/** Python's standard library is all it takes. A JSON text in a string literal of Python is that text again. */
export function asPython(body, withKey) {
  const imports = withKey ? ["import json", "import os", "import urllib.request"] : ["import json", "import urllib.request"];
  const entries = [`    "Content-Type": "application/json",`];
  if (withKey) entries.push(`    "Authorization": "Bearer " + os.environ["LIMRANK_KEY"],`);
  return [
    ...imports,
    "",
    `body = ${literal(body, "")}`,
    "headers = {",
    ...entries,
    "}",
    `request = urllib.request.Request(${JSON.stringify(endpoint())}, json.dumps(body).encode(), headers)`,
    "with urllib.request.urlopen(request) as response:",
    `    answer = json.load(response)`,
    `for result in answer["results"]:`,
    `    print(f"{result['relevance_score']:.3f}", body["documents"][result["index"]])`,
    "",
  ].join("\n");
}

/** A value of JSON as Python writes it. */
function literal(value, indent) {
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (typeof value === "string") return asciiString(value);
  if (typeof value !== "object") return String(value);
  const deeper = `${indent}    `;
  const items = Array.isArray(value)
    ? value.map((item) => `${deeper}${literal(item, deeper)},\n`)
    : Object.entries(value).map(([name, item]) => `${deeper}${asciiString(name)}: ${literal(item, deeper)},\n`);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  return items.length ? `${open}\n${items.join("")}${indent}${close}` : `${open}${close}`;
}

/** JSON's escapes are Python's, but for half surrogates and the two line separators, which stay escaped. */
const asciiString = (text) =>
  JSON.stringify(text).replace(/[\u007f\u2028\u2029]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);
