// Numbers for people.

const units = ["B", "KB", "MB", "GB", "TB"];

export function bytes(count) {
  if (!Number.isFinite(count)) return "–";
  let unit = 0;
  let value = count;
  while (Math.abs(value) >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 || Math.abs(value) >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

const grouped = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

export const count = (value) => (Number.isFinite(value) ? grouped.format(value) : "–");
export const short = (value) => (Number.isFinite(value) ? compact.format(value) : "–");
export const percent = (share) => (Number.isFinite(share) ? `${Math.round(share * 100)} %` : "–");

export function rate(perSecond, unit = "") {
  if (!Number.isFinite(perSecond)) return "–";
  const value = perSecond < 10 ? Math.round(perSecond * 10) / 10 : Math.round(perSecond);
  return `${value < 10_000 ? grouped.format(value) === "0" && value > 0 ? value : value.toLocaleString("en") : short(value)}${unit}/s`;
}

export function duration(ms) {
  if (!Number.isFinite(ms)) return "–";
  const s = Math.floor(ms / 1000);
  if (s < 1) return `${Math.round(ms)} ms`;
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86_400)} d ${Math.floor((s % 86_400) / 3600)} h`;
}

const clock = new Intl.DateTimeFormat("en-GB", {
  hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3,
});
const dated = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
export const time = (ms) => clock.format(ms);
export function date(moment) {
  const time = new Date(moment ?? NaN);  // milliseconds, or as ISO 8601 writes it
  return Number.isNaN(time.getTime()) ? "–" : dated.format(time);
}

/// "roost::detail::room_server" → "room_server", for where there is little room.
export const unqualified = (name) => String(name ?? "").replace(/^.*::(?=[^<>]*$)/, "");

/// What a process is called: its name, else its label, else what it runs.
export const processName = (one) => one.name ?? one.label ?? unqualified(one.initial_call);

/// The node in "<chat@10.0.0.7:42.3>"; nothing for "<0.42.3>".
export function nodeOf(pid) {
  const colon = String(pid).lastIndexOf(":");
  return colon > 0 ? String(pid).slice(1, colon) : undefined;
}

/// The pid as its own node writes it, where that node is the one on the page.
export function shortPid(pid, node) {
  return pid && nodeOf(pid) === node ? `<0.${pid.slice(node.length + 2)}` : pid;
}

/// JSON over several lines, as text.
export function pretty(value) {
  return typeof value === "string" ? value : JSON.stringify(value, null, 2);
}
