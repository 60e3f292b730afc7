// An Obsidian Base as a table: its filters and formulas, evaluated over the properties of the notes. The expression
// language of Bases is close to JavaScript; what `tasks.base` uses of it is defined here, and nothing else.
import { icon } from "./icons.mjs";
import { escaped } from "./markdown.mjs";

const UNITS = { s: 1e3, m: 6e4, h: 36e5, d: 864e5 };
const STEPS = [
  [45, () => "a few seconds"], [90, () => "a minute"], [2700, (s) => `${Math.round(s / 60)} minutes`],
  [5400, () => "an hour"], [79200, (s) => `${Math.round(s / 3600)} hours`], [129600, () => "a day"],
  [2246400, (s) => `${Math.round(s / 86400)} days`], [Infinity, (s) => `${Math.round(s / 2629746)} months`],
];

class Moment {
  constructor(time, now) { this.time = time; this.now = now; }
  valueOf() { return this.time; }
  date() { return Math.floor(this.time / 864e5); }
  relative() {
    if (Number.isNaN(this.time)) return ""; // the other branch of an `if` is evaluated, too
    const seconds = (this.time - this.now) / 1000;
    const words = STEPS.find(([below]) => Math.abs(seconds) < below)[1](Math.abs(seconds));
    return seconds > 0 ? `in ${words}` : `${words} ago`;
  }
}

function local(text) { return Date.parse(`${text}Z`); } // all local times of one zone: read as if it were UTC

/** A function of a note for an expression of the Base. */
function compiled(source, now) {
  const script = source
    .replace(/\bif\(/g, "choose(")
    .replace(/(\w+\(\)) - "(\d+)([smhd])"/g, (_, call, number, unit) => `(${call} - ${number * UNITS[unit]})`);
  const words = [...new Set(source.replace(/"[^"]*"/g, "").match(/(?<![.\w])[a-z_]+\b(?!\()/g) ?? [])];
  const names = words.filter((word) => word !== "file");
  const functions = {
    choose: (condition, yes, no) => (condition ? yes : no),
    date: (text) => new Moment(local(text), now),
    now: () => new Moment(now, now),
    today: () => Math.floor(now / 864e5),
  };
  const run = new Function(...Object.keys(functions), "file", ...names, `return (${script});`);
  return (note) => {
    const file = { ...note.file, inFolder: (folder) => note.file.folder === folder || note.file.folder.startsWith(`${folder}/`) };
    return run(...Object.values(functions), file, ...names.map((name) => note.properties[name]));
  };
}

function holds(filter, note, now) {
  if (typeof filter === "string") return Boolean(compiled(filter, now)(note));
  const [[word, parts]] = Object.entries(filter);
  const each = (part) => holds(part, note, now);
  return word === "and" ? parts.every(each) : word === "or" ? parts.some(each) : !parts.some(each);
}

/** The HTML of one view of a Base. */
export function table(base, viewName, notes, nowText) {
  const now = local(nowText);
  const view = base.views.find((each) => each.name === viewName);
  const filters = [base.filters, view.filters].filter(Boolean);
  const rows = notes.filter((note) => filters.every((filter) => holds(filter, note, now)));
  const formulas = Object.fromEntries(Object.entries(base.formulas).map(([name, text]) => [name, compiled(text, now)]));
  const value = (note, column) => {
    if (column === "file.name") return note.file.name;
    return column.startsWith("formula.") ? formulas[column.slice(8)](note) : note.properties[column];
  };
  for (const { property, direction } of [...(view.sort ?? [])].reverse()) {
    const sign = direction === "DESC" ? -1 : 1;
    const key = (note) => String(value(note, property) ?? "");
    rows.sort((a, b) => (!key(a) - !key(b)) || sign * (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0));
  }
  const head = view.order.map((column) => `<th>${escaped(base.properties[column]?.displayName ?? column)}</th>`).join("");
  const line = (note) => view.order.map((column) => `<td class="${column.replace(".", "-")}">${cell(value(note, column), column)}</td>`).join("");
  const bar = `<div class="bases-bar"><span>${icon("table")}${escaped(view.name)}</span><span>${rows.length} results</span></div>`;
  return `${bar}<table class="bases"><thead><tr>${head}</tr></thead><tbody>${rows.map((note) => `<tr>${line(note)}</tr>`).join("")}</tbody></table>`;
}

function cell(value, column) {
  if (column === "run_now") return `<span class="box${value === true ? " is-checked" : ""}"></span>`;
  if (value === undefined || value === null || value === "") return "";
  return column === "file.name" ? `<a class="internal-link">${escaped(value)}</a>` : escaped(String(value));
}
