/** Shows /openapi.json with Swagger UI. The key is kept in this page only, and goes along with what is tried out. */

const byId = (id) => document.getElementById(id);
let key = "";

async function show() {
  byId("problem").hidden = true;
  let response;
  try {
    response = await fetch("openapi.json", { credentials: "omit", headers: key ? { Authorization: `Bearer ${key}` } : {} });
  } catch {
    return complain("The server cannot be reached.");
  }
  byId("key-row").hidden = response.status !== 401;
  if (response.status === 401) {
    byId("key").focus();
    return key ? complain("This key is not valid here.") : undefined;
  }
  if (!response.ok) return complain(`openapi.json was answered with status ${response.status}.`);
  if (!window.SwaggerUIBundle) return complain("Swagger UI is not installed beside this server: pip install fastapi-swagger.");
  draw(await response.json());
}

function draw(spec) {
  // Calls go to where this page came from, which a proxy may have put below a path.
  spec.servers = [{ url: new URL(".", document.baseURI).pathname.replace(/\/$/, "") || "/" }];
  window.SwaggerUIBundle({
    spec,
    dom_id: "#swagger-ui",
    deepLinking: true,
    defaultModelsExpandDepth: 0,
    validatorUrl: null,
    requestInterceptor: (request) => {
      if (key) request.headers.Authorization = `Bearer ${key}`;
      return request;
    },
  });
}

function complain(text) {
  byId("problem").textContent = text;
  byId("problem").hidden = false;
}

byId("key-row").addEventListener("submit", (event) => {
  event.preventDefault();
  key = byId("key").value.trim();
  show();
});
show();
