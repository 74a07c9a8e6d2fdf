// The cards below the tiles: each takes data and fills its place.
import { count, make, moment, money, name, seconds, share, short, span } from "./say.js";

const place = (id) => document.getElementById(id);

function fill(id, rows, empty, bad = 0) {
  const box = place(id);
  box.replaceChildren(...(rows.length ? rows : [make("p", { class: "empty" }, ...empty)]));
  scrolls(box);
  const title = box.parentElement.querySelector("h2");
  title.querySelector(".count")?.remove();
  if (bad || rows.length > 1) title.append(make("span", { class: bad ? "count bad" : "count" }, count(bad || rows.length)));
}

// What scrolls can be reached by the keyboard.
function scrolls(box) {
  const over = box.scrollHeight > box.clientHeight + 1 || box.scrollWidth > box.clientWidth + 1;
  if (over) {
    box.tabIndex = 0;
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", box.parentElement.querySelector("h2").firstChild.textContent);
  } else {
    for (const attribute of ["tabindex", "role", "aria-label"]) box.removeAttribute(attribute);
  }
}

const code = (text) => make("code", {}, text);

function meter(parts, label) {
  const bar = make("div", { class: "meter", role: "img", "aria-label": label });
  for (const [part, tone] of parts) {
    const piece = make("span", { class: tone });
    piece.style.width = `${Math.max(0, Math.min(100, 100 * part)).toFixed(2)}%`;
    bar.append(piece);
  }
  return bar;
}

const row = (first, second, ...below) => make("div", { class: "row" }, make("div", { class: "line" }, first, second), ...below);
const note = (...children) => make("p", { class: "note" }, ...children);
const state = (text, tone = "") => make("span", { class: `state ${tone}` }, text);

export function budgets(found) {
  const tones = { ok: "ok", warn: "warn", over: "bad" };
  const rows = found.map((each) => {
    const limit = each.limit_usd || 1e-9;
    const used = (each.spent_usd + each.reserved_usd) / limit;
    const resets = each.resets_at ? `, resets ${moment(each.resets_at)}` : "";
    const held = each.reserved_usd ? `, ${money(each.reserved_usd)} reserved` : "";
    return row(
      name(each.name),
      make("span", {}, make("b", {}, money(each.spent_usd)), ` of ${money(each.limit_usd)}`),
      meter([[each.spent_usd / limit, tones[each.state]], [each.reserved_usd / limit, "held"]], `${share(used, 0)} used`),
      note(`${share(used, 0)} used, ${money(each.left_usd)} left${held}${resets}`),
    );
  });
  fill("budgets", rows, ["No budgets in this profile. One is ", code("budgets: [{limit: 100, per: day}]"), "."], found.filter((each) => each.state === "over").length);
}

export function alerts(found) {
  const tones = { firing: "bad", pending: "warn", ok: "ok" };
  const rows = found.map((each) =>
    row(
      name(each.name),
      state(each.state, tones[each.state]),
      note(make("bdi", {}, each.text), each.since ? `, since ${moment(each.since)}` : ""),
    ),
  );
  fill("alerts", rows, ["No rules in this profile. One is ", code("alerts: [{metric: error_rate, over: 0.1}]"), "."], found.filter((each) => each.state === "firing").length);
}

export function batches(found) {
  const rows = found.map((each) => {
    const done = each.rows ? each.finished / each.rows : 0;
    const failed = each.failed + each.refused;
    const ended = { running: "running", died: "died", ended: each.exit_code == null ? "broke off" : each.exit_code === 0 ? "done" : `exit ${each.exit_code}` }[each.state];
    const tone = { running: "", died: "bad", ended: each.exit_code === 0 ? "ok" : "warn" }[each.state];
    const left = each.left_s == null ? "" : `, ${span(each.left_s)} left`;
    const line = row(
      name(each.input),
      state(ended, tone),
      meter([[each.rows ? (each.finished - failed) / each.rows : 0, each.state === "running" ? "" : each.exit_code === 0 ? "ok" : "warn"], [each.rows ? failed / each.rows : 0, "bad"]], `${share(done, 0)} done`),
      note(`${count(each.finished)} of ${count(each.rows)} rows${failed ? `, ${count(failed)} failed` : ""}, ${each.rows_per_s.toFixed(1)}/s, ${money(each.cost_usd)}${left}`),
    );
    line.dataset.run = each.run_id;
    line.dataset.state = each.state;
    return line;
  });
  fill("batches", rows, ["No batch is running. ", code("llmctl batch rows.jsonl -o out.jsonl"), " shows here."]);
}

export function breakers(found) {
  const tones = { open: "bad", "half-open": "warn", closed: "ok" };
  const rows = found.map((each) =>
    row(
      name(each.name.replace(/#[0-9a-f]+$/, "")),
      state(each.state, tones[each.state]),
      note(`${count(each.failures)} ${each.failures === 1 ? "failure" : "failures"} in a row`, each.due_s ? `, next try in ${span(each.due_s)}` : ""),
    ),
  );
  fill("breakers", rows, ["All closed: every model is asked."], found.filter((each) => each.state === "open").length);
}

export function keys(found) {
  const tones = { alive: "ok", cooling: "warn", spent: "bad", refused: "bad", missing: "warn" };
  const rows = found.map((each) =>
    row(
      name(each.reference),
      state(each.state, tones[each.state] ?? ""),
      note(make("bdi", {}, each.models.join(", ")), `, used ${count(each.used)}×`, each.rests_s ? `, rests ${span(each.rests_s)}` : ""),
    ),
  );
  fill("keys", rows, ["This profile needs no key."], found.filter((each) => ["spent", "refused"].includes(each.state)).length);
}

export function limits(found) {
  const rows = found.map((each) =>
    row(name(each.model), state(each.wait_s > 0.05 ? `waits ${seconds(each.wait_s)}` : "free", each.wait_s > 0.05 ? "warn" : "ok"), note(each.what === "learned" ? "told by the provider" : `${each.what} a minute`)),
  );
  fill("limits", rows, ["No rate limit is in force."]);
}

export function errors(found, total) {
  const rows = Object.entries(found).map(([kind, calls]) =>
    row(name(kind, "unknown"), make("span", {}, make("b", {}, count(calls)), ` · ${share(calls / total)}`), meter([[calls / Math.max(...Object.values(found)), "bad"]], `${count(calls)} calls`)),
  );
  fill("errors", rows, [total ? "No call failed in this time." : "No calls in this time."]);
}

function table(id, heads, rows, empty) {
  const box = place(id);
  if (!rows.length) {
    box.replaceChildren(make("p", { class: "empty" }, empty));
    scrolls(box);
    return;
  }
  const cells = heads.map(([text, kind]) => make("th", { scope: "col", class: kind === "num" ? "num" : null }, text));
  const body = rows.map((values) => make("tr", {}, ...values.map((value, column) => make("td", { class: heads[column][1] ?? null }, value))));
  box.replaceChildren(make("table", {}, make("thead", {}, make("tr", {}, ...cells)), make("tbody", {}, ...body)));
  scrolls(box);
}

export function usage(id, title, found, none) {
  const most = Math.max(...Object.values(found).map((each) => each.cost_usd ?? 0), 0);
  const wide = id === "models";
  const rows = Object.entries(found).map(([key, each]) => {
    const bar = make("span", {});
    bar.style.width = `${most ? (100 * (each.cost_usd ?? 0)) / most : 0}%`;
    const failed = each.failed ? make("span", { class: "bad-text" }, count(each.failed)) : "0";
    const first = [name(key, none), money(each.cost_usd)];
    if (!wide) return [...first, short(each.calls), failed];
    return [first[0], bar, first[1], short(each.calls), failed, short(each.tokens), seconds(each.response_time.p95)];
  });
  const heads = wide
    ? [[title, "name"], ["share", "share"], ["cost", "num"], ["calls", "num"], ["failed", "num"], ["tokens", "num"], ["p95", "num"]]
    : [[title, "name"], ["cost", "num"], ["calls", "num"], ["failed", "num"]];
  table(id, heads, rows, "No calls in this time.");
}

// `first` is what they are sorted by: it stands where it is seen on a narrow screen too.
export function calls(id, found, first) {
  const rows = found.map((each) => {
    const time = seconds(each.latency_s);
    const cost = money(each.cost_usd);
    return [
      moment(each.at),
      make("b", {}, first === "cost" ? cost : time),
      name(each.model),
      name(each.tag),
      count(each.usage.input_tokens + each.usage.output_tokens),
      first === "cost" ? time : cost,
      each.status === "ok" ? each.status : make("span", { class: "bad-text" }, name(each.error ?? each.status)),
    ];
  });
  const other = first === "cost" ? "time" : "cost";
  table(id, [["when"], [first, "num"], ["model", "name"], ["tag", "name"], ["tokens", "num"], [other, "num"], ["status"]], rows, "No calls in this time.");
}
