// Charts over time (uPlot) and the small lines in the tiles.
import { clock, count, day, money, seconds, short } from "./say.js";

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const drawn = new Map();

const bars = () => uPlot.paths.bars({ size: [0.72, 26], radius: 0.15 });

// Nobody makes half a request.
const WHOLE = [...Array(13).keys()].flatMap((zeros) => [1, 2, 5].map((digit) => digit * 10 ** zeros));

const CHARTS = {
  requests: {
    value: short,
    steps: WHOLE,
    lines: (data) => {
      const asked = data.ok.map((ok, place) => ok - data.cached[place]);
      const stacked = [data.ok.map((ok, place) => ok + data.failed[place]), data.ok, asked];
      return [
        { label: "failed", colour: "bad", values: stacked[0], told: data.failed, bars: true },
        { label: "from the cache", colour: "teal", values: stacked[1], told: data.cached.map((hits, place) => Math.min(hits, data.ok[place])), bars: true },
        { label: "answered", colour: "accent", values: stacked[2].map((value) => Math.max(0, value)), told: asked, bars: true },
      ];
    },
    sum: (values) => count(values.reduce((all, value) => all + value, 0)),
    shown: count,
  },
  time: {
    value: (value) => (value === 0 ? "0" : seconds(value).replace(/(\.\d*?)0+ s$/, "$1 s").replace(". s", " s")),
    lines: (data) => [
      { label: "p99", colour: "warn", values: data.latency_s.p99, width: 1.25 },
      { label: "p95", colour: "violet", values: data.latency_s.p95, width: 1.5 },
      { label: "p50", colour: "accent", values: data.latency_s.p50, width: 2 },
    ],
    sum: () => null,
    shown: seconds,
  },
  cost: {
    value: (usd) => (usd === 0 ? "$0" : money(usd).replace(/(\.\d\d\d*?)0+$/, "$1")),
    lines: (data) => [{ label: "cost", colour: "violet", values: data.cost_usd, bars: true }],
    sum: (values) => money(values.reduce((all, value) => all + (value ?? 0), 0)),
    shown: money,
  },
};

export function chart(which, data) {
  const box = document.getElementById(`chart-${which}`);
  const kind = CHARTS[which];
  const lines = data.at.length ? kind.lines(data) : [];
  const shown = lines.some((line) => line.values.some((value) => value != null && value > 0));
  drawn.get(which)?.destroy();
  drawn.delete(which);
  box.replaceChildren();
  keys(which, kind, lines, null, data);
  if (!shown) {
    const empty = document.createElement("p");
    empty.className = "empty";
    empty.textContent = "Nothing in this time";
    box.append(empty);
    box.setAttribute("aria-label", "Nothing in this time");
    return;
  }
  box.setAttribute("aria-label", lines.map((line) => `${line.label}: ${kind.sum(line.told ?? line.values) ?? kind.shown(last(line.values))}`).join(", "));
  const axis = { stroke: colour("muted"), grid: { stroke: colour("line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
  const options = {
    width: box.clientWidth,
    height: box.clientHeight,
    padding: [10, 6, 0, 0],
    legend: { show: false },
    cursor: { y: false, points: { show: !lines[0].bars, size: 6 }, drag: { x: false, y: false } },
    scales: { x: { range: (u, low, high) => [low - data.step_s / 2, high + data.step_s / 2] }, y: { range: (u, low, high) => [0, Math.max(high * 1.06, 1e-9)] } },
    axes: [
      { ...axis, grid: { show: false }, size: 28, gap: 6, space: 70, values: (u, splits, place, space, every) => splits.map((at) => label(at, every)) },
      { ...axis, size: wide, space: 34, gap: 6, incrs: kind.steps, values: (u, splits) => splits.map(kind.value) },
    ],
    series: [
      {},
      ...lines.map((line) => ({
        stroke: colour(line.colour),
        fill: line.bars ? colour(line.colour) : undefined,
        width: line.bars ? 0 : line.width,
        paths: line.bars ? bars() : undefined,
        points: { show: (u, place) => !line.bars && alone(line.values), size: 5 },
      })),
    ],
    hooks: { setCursor: [(u) => keys(which, kind, lines, u.cursor.idx, data)] },
  };
  drawn.set(which, new uPlot(options, [data.at, ...lines.map((line) => line.values)], box));
}

// As wide as what is written there.
const wide = (u, values) => 16 + 6.8 * Math.max(4, ...(values ?? []).map((value) => value.length));

const last = (values) => values.findLast((value) => value != null) ?? null;
const alone = (values) => values.filter((value) => value != null).length < 40;

function label(at, every) {
  const date = new Date(at * 1000);
  return every >= 86_400 || (date.getHours() === 0 && date.getMinutes() === 0) ? day(date) : clock(date);
}

// Which colour is what; the sums, or the values under the pointer.
function keys(which, kind, lines, place, data) {
  const parts = lines.toReversed().map((line) => {
    const item = document.createElement("span");
    const dot = document.createElement("i");
    dot.style.background = `var(--${line.colour})`;
    const told = line.told ?? line.values;
    const value = place == null ? kind.sum(told) : kind.shown(told[place]);
    item.append(dot, line.label);
    if (value != null) {
      const strong = document.createElement("b");
      strong.textContent = ` ${value}`;
      item.append(strong);
    }
    return item;
  });
  if (place != null && data.at[place] != null) {
    const when = document.createElement("span");
    when.className = "when";
    const date = new Date(data.at[place] * 1000);
    when.textContent = data.step_s >= 86_400 ? day(date) : `${day(date)} ${clock(date)}`;
    parts.push(when);
  }
  document.getElementById(`key-${which}`).replaceChildren(...parts);
}

export function fit() {
  for (const plot of drawn.values()) {
    const box = plot.root.parentElement;
    plot.setSize({ width: box.clientWidth, height: box.clientHeight });
  }
}

const SVG = "http://www.w3.org/2000/svg";

export function spark(id, values, tone) {
  const box = document.getElementById(`spark-${id}`);
  const known = values.map((value) => value ?? 0);
  const most = Math.max(...known, 0);
  if (known.length < 2 || most === 0) {
    box.replaceChildren();
    return;
  }
  const points = known.map((value, place) => `${((100 * place) / (known.length - 1)).toFixed(2)},${(31 - (28 * value) / most).toFixed(2)}`);
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 100 34");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  const area = document.createElementNS(SVG, "path");
  area.setAttribute("d", `M0,34 L${points.join(" L")} L100,34 Z`);
  area.setAttribute("fill", `var(--${tone})`);
  area.setAttribute("opacity", "0.13");
  const line = document.createElementNS(SVG, "path");
  line.setAttribute("d", `M${points.join(" L")}`);
  line.setAttribute("fill", "none");
  line.setAttribute("stroke", `var(--${tone})`);
  line.setAttribute("stroke-width", "1.5");
  line.setAttribute("vector-effect", "non-scaling-stroke");
  svg.append(area, line);
  box.replaceChildren(svg);
}
