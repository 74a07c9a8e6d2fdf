// The page of /openapi.json.
import { make } from "./say.js";

const kind = (schema) => [schema.const !== undefined ? JSON.stringify(schema.const) : schema.type].flat().filter(Boolean).join(" or ");

function rows(heads, values) {
  const head = make("tr", {}, ...heads.map((text) => make("th", { scope: "col" }, text)));
  return make("table", {}, make("thead", {}, head), make("tbody", {}, ...values.map((cells) => make("tr", {}, ...cells.map((cell) => make("td", {}, cell))))));
}

// What stands between backticks is code.
const told = (text) => make("span", {}, ...text.split("`").map((part, place) => (place % 2 ? make("code", {}, part) : part)));

function card(path, { summary, parameters, responses }) {
  const link = make("a", { href: path }, make("code", {}, `GET ${path}`));
  const parts = [make("h2", {}, link), make("p", {}, told(summary))];
  if (parameters.length) {
    parts.push(make("h3", {}, "Parameters"), rows(["name", "meaning"], parameters.map((each) => [make("code", {}, each.name), told(each.description)])));
  }
  const [type, content] = Object.entries(responses["200"].content)[0];
  const fields = Object.entries(content.schema.properties ?? {});
  if (fields.length) {
    parts.push(make("h3", {}, "Answer"), rows(["field", "kind", "meaning"], fields.map(([name, schema]) => [make("code", {}, name), kind(schema), told(schema.description ?? "")])));
  } else parts.push(make("h3", {}, `Answer: ${type}`));
  return make("section", { class: "card" }, ...parts);
}

const found = await (await fetch("/openapi.json")).json();
document.getElementById("about").textContent = found.info.description;
document.getElementById("paths").append(...Object.entries(found.paths).map(([path, methods]) => card(path, methods.get)));
