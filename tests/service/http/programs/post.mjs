// Posts a body of so many bytes with node's fetch and prints the status.
const [url, size] = process.argv.slice(2);
const answer = await fetch(url, { method: "POST", body: "x".repeat(Number(size)) });
console.log(answer.status);
