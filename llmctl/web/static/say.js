// Figures in words for people. What is not known is "?" or "–", never 0.

export const count = (value) => (value ?? 0).toLocaleString("en-US");

export function short(value) {
  if (value == null) return "–";
  if (value < 100_000) return count(value);
  return new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: value < 1e6 ? 1 : 2 }).format(value);
}

export function money(usd) {
  if (usd == null) return "?";
  if (usd === 0) return "$0.00";
  if (usd >= 100_000) return `$${short(usd)}`;
  if (usd >= 1) return usd.toLocaleString("en-US", { style: "currency", currency: "USD" });
  return usd >= 0.01 ? `$${usd.toFixed(3)}` : usd >= 0.000001 ? `$${usd.toFixed(6)}` : `$${usd.toFixed(9)}`;
}

export function share(value, digits = 1) {
  if (value == null) return "–";
  const text = (100 * value).toFixed(digits);
  // 99.96 % is not all, and 0.04 % is not nothing.
  if (value < 1 && Number(text) === 100) return `> ${(100 - 10 ** -digits).toFixed(digits)} %`;
  return value > 0 && Number(text) === 0 ? `< ${(10 ** -digits).toFixed(digits)} %` : `${Number(text)} %`;
}

export function seconds(value) {
  if (value == null) return "–";
  if (value < 1) return `${Math.round(value * 1000)} ms`;
  if (value < 100) return `${value.toFixed(value < 10 ? 2 : 1)} s`;
  return span(value);
}

export function span(value) {
  const whole = Math.round(value);
  if (whole < 90) return `${whole} s`;
  if (whole < 5400) return `${Math.round(whole / 60)} min`;
  if (whole < 172_800) return `${(whole / 3600).toFixed(1).replace(/\.0$/, "")} h`;
  return `${Math.round(whole / 86_400)} d`;
}

const two = (value) => String(value).padStart(2, "0");
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

export const clock = (date) => `${two(date.getHours())}:${two(date.getMinutes())}`;
export const day = (date) => `${date.getDate()} ${MONTHS[date.getMonth()]}`;

export function moment(value) {
  if (value == null) return "–";
  const date = new Date(typeof value === "number" ? value * 1000 : value);
  const far = Math.abs(Date.now() - date) > 300 * 86_400_000;
  return `${day(date)}${far ? ` ${date.getFullYear()}` : ""} ${clock(date)}`;
}

// The few elements that everything is made of. Data becomes text, never markup.
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value == null) continue;
    if (name === "class") element.className = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

// A name somebody chose: whatever direction it is written in, it turns nothing around it.
export const name = (text, none = "–") => make("bdi", { title: text }, text === "" || text == null ? none : text);
