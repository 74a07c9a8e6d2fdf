// Asks for the figures, shows them, and keeps them fresh. Nothing is asked of any other server.
import { chart, fit, spark } from "./draw.js";
import * as parts from "./parts.js";
import { count, make, moment, money, seconds, share, short } from "./say.js";

const at = (id) => document.getElementById(id);
const put = (id, ...children) => at(id).replaceChildren(...children);
const FILTERS = ["profile", "model", "tag"];
const SOONEST = 2_000; // milliseconds between two refreshes for calls that came in
const STATE = 10_000; // how often budgets, breakers, keys and alerts are looked at anyway

let data = null; // what the charts show
let asked = 0; // the newest question; older answers are dropped
let due = null;
let refreshed = 0;

// Windows begin where a step of their charts does, so that all figures are of the same calls.
const WINDOWS = { "1h": [3_600, 60], "24h": [86_400, 900], "7d": [604_800, 10_800], "30d": [2_592_000, 21_600] };
const begin = (span, step) => new Date(1000 * Math.floor((Date.now() / 1000 - span) / step) * step).toISOString();

function chosen() {
  const query = new URLSearchParams();
  const window = document.querySelector("input[name=window]:checked").value;
  if (window === "custom") {
    for (const name of ["since", "until"]) if (at(name).value) query.set(name, new Date(at(name).value).toISOString());
  } else if (window) query.set("since", begin(...WINDOWS[window]));
  for (const name of FILTERS) if (at(`by-${name}`).value !== "*") query.set(name, at(`by-${name}`).value.slice(1));
  return query;
}

async function get(path, query) {
  const answer = await fetch(query?.size ? `${path}?${query}` : path, { headers: { accept: "application/json" } });
  const body = await answer.json().catch(() => null);
  if (!answer.ok || body === null) {
    const error = body?.error ?? { message: `${path}: ${answer.status}` };
    throw new Error(error.hint ? `${error.message} (${error.hint})` : error.message);
  }
  return body;
}

function complain(error) {
  const banner = at("banner");
  banner.className = "banner";
  banner.textContent = error.message;
  banner.hidden = false;
}

async function refresh() {
  const mine = ++asked;
  const query = chosen();
  document.body.setAttribute("aria-busy", "true");
  try {
    const [figures, series, calls] = await Promise.all([get("/metrics/llm", query), get("/api/series", query), get("/api/calls", query)]);
    if (mine !== asked) return;
    data = series;
    at("banner").hidden = true;
    show(figures, series, calls);
    document.body.dataset.ready = String(mine);
  } catch (error) {
    if (mine === asked) complain(error);
  } finally {
    if (mine === asked) document.body.removeAttribute("aria-busy");
    refreshed = Date.now();
  }
}

function show(figures, series, calls) {
  tiles(figures, series);
  for (const which of ["requests", "time", "cost"]) chart(which, series);
  parts.usage("models", "model", figures.model_usage, "–");
  parts.usage("profiles", "profile", figures.profile_usage, "–");
  parts.usage("tags", "tag", figures.tag_usage, "none");
  parts.errors(figures.errors, figures.total_requests);
  parts.calls("slowest", calls.slowest, "time");
  parts.calls("dearest", calls.dearest, "cost");
  if (figures.total_requests === 0) nothing(figures);
  const exact = figures.exact ? "percentiles are exact" : "percentiles within 1 %";
  put("foot", `Times in ${Intl.DateTimeFormat().resolvedOptions().timeZone}, ${exact}.`);
}

function tiles(figures, series) {
  const times = figures.response_time;
  put("requests", short(figures.total_requests));
  put("requests-sub", `${count(figures.retries)} retries`);
  put("success", share(figures.success_rate));
  put("success-sub", figures.failed_requests ? make("span", { class: "bad-text" }, `${count(figures.failed_requests)} failed`) : "none failed");
  put("cost", money(figures.total_cost));
  put("cost-sub", figures.unpriced_requests ? `${count(figures.unpriced_requests)} of unknown price` : `${money(figures.saved)} saved`);
  put("time", seconds(figures.avg_response_time));
  put("time-sub", `p95 ${seconds(times.p95)} · p99 ${seconds(times.p99)}`);
  put("tokens", short(figures.total_tokens));
  put("tokens-sub", `${short(figures.tokens.input)} in · ${short(figures.tokens.output)} out`);
  put("cache", share(figures.cache_hit_rate));
  put("cache-sub", `${count(figures.cache_hits)} hits`);
  for (const id of ["requests-sub", "success-sub", "cost-sub", "time-sub", "tokens-sub", "cache-sub"]) at(id).title = at(id).textContent;
  const asked = series.ok.map((ok, place) => ok + series.failed[place]);
  spark("requests", asked, "accent");
  spark("failed", series.failed, "bad");
  spark("cost", series.cost_usd, "violet");
  spark("time", series.latency_s.mean, "warn");
  spark("tokens", series.input_tokens.map((value, place) => value + series.output_tokens[place]), "accent");
  spark("cache", series.cached, "teal");
}

function nothing(figures) {
  const banner = at("banner");
  banner.className = "banner calm";
  const all = document.querySelector("input[name=window][value='']");
  if (figures.last_success && !all.checked) {
    const button = make("button", { type: "button" }, "show all");
    button.addEventListener("click", () => { all.checked = true; changed(); });
    banner.replaceChildren(make("span", {}, `No calls in this time; the last good one began ${moment(figures.last_success)}.`), button);
  } else banner.replaceChildren(make("span", {}, "No calls yet: they show here as soon as one is made."));
  banner.hidden = false;
}

async function stands() {
  try {
    const found = await get("/api/state");
    at("profile").textContent = found.profile;
    at("profile").title = `profile ${found.profile}`;
    at("profile").hidden = false;
    for (const name of ["budgets", "alerts", "breakers", "keys", "limits"]) parts[name](found[name]);
  } catch (error) {
    complain(error);
  }
}

async function names() {
  const found = (await get("/api/names")).names;
  const wanted = new URLSearchParams(location.search);
  for (const name of FILTERS) {
    const select = at(`by-${name}`);
    const held = wanted.has(name) ? `=${wanted.get(name)}` : select.value;
    const known = found[name].map((value) => `=${value}`);
    if (held !== "*" && !known.includes(held)) known.push(held);
    const options = known.map((value) => make("option", { value }, value === "=" ? "no tag" : value.slice(1)));
    select.replaceChildren(select.options[0], ...options);
    select.value = held;
  }
}

function restore() {
  const wanted = new URLSearchParams(location.search);
  if (!wanted.has("window")) return;
  const window = [...document.querySelectorAll("input[name=window]")].find((each) => each.value === wanted.get("window"));
  if (window) window.checked = true;
  for (const name of ["since", "until"]) at(name).value = wanted.get(name) ?? "";
  at("between").hidden = window?.value !== "custom";
}

function changed() {
  const window = document.querySelector("input[name=window]:checked").value;
  at("between").hidden = window !== "custom";
  const kept = new URLSearchParams({ window });
  if (window === "custom") for (const name of ["since", "until"]) if (at(name).value) kept.set(name, at(name).value);
  for (const name of FILTERS) if (at(`by-${name}`).value !== "*") kept.set(name, at(`by-${name}`).value.slice(1));
  history.replaceState(null, "", `?${kept}`);
  refresh();
}

// Calls came in: soon, but not for each of them, and not while nobody looks.
function soon() {
  if (due !== null || document.hidden) return;
  due = setTimeout(() => { due = null; refresh(); stands(); names(); }, Math.max(200, SOONEST - (Date.now() - refreshed)));
}

function listen() {
  const source = new EventSource("/api/events");
  const tell = (state, text) => { at("live").dataset.state = state; put("live-text", text); };
  source.addEventListener("open", () => { if (at("live").dataset.state === "off") soon(); tell("on", "live"); });
  source.addEventListener("error", () => tell("off", "not connected"));
  source.addEventListener("ledger", soon);
  source.addEventListener("batches", (event) => parts.batches(JSON.parse(event.data).batches));
}

const THEMES = ["", "light", "dark"];
function theme() {
  const root = document.documentElement;
  const next = THEMES[(THEMES.indexOf(root.dataset.theme ?? "") + 1) % THEMES.length];
  if (next) root.dataset.theme = next;
  else delete root.dataset.theme;
  try { localStorage.setItem("llmctl-theme", next); } catch { /* it holds for this visit alone */ }
  tellTheme();
  redraw();
}

function tellTheme() {
  const told = { light: "Theme: light", dark: "Theme: dark" }[document.documentElement.dataset.theme] ?? "Theme: as the system";
  at("theme").setAttribute("aria-label", told);
  at("theme").title = told;
}

function redraw() {
  if (data) for (const which of ["requests", "time", "cost"]) chart(which, data);
}

at("theme").addEventListener("click", theme);
at("filters").addEventListener("change", changed);
at("filters").addEventListener("submit", (event) => event.preventDefault());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
document.addEventListener("visibilitychange", () => { if (!document.hidden) { stands(); soon(); } });
let fitting = null;
addEventListener("resize", () => { clearTimeout(fitting); fitting = setTimeout(fit, 100); });

tellTheme();
restore();
await names().catch(complain);
refresh();
stands();
listen();
setInterval(() => { if (!document.hidden) stands(); }, STATE);
