// Draws the pictures: `node render.mjs SHOTS.json FOLDER`. Needs Chromium; CHROMIUM names another one.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import puppeteer from "puppeteer-core";
import { table } from "./base.mjs";
import { icon } from "./icons.mjs";
import { escaped, rendered } from "./markdown.mjs";

const CSS = ["obsidian.css", "terminal.css"].map((name) => readFileSync(new URL(name, import.meta.url), "utf8")).join("\n");
const XTERM_CSS = file("@xterm/xterm/css/xterm.css");
const ICONS = { text: "text", checkbox: "square-check-big", number: "binary", datetime: "clock", list: "list" };
const PHONE_WIDTH = 390;

function path(name) { return fileURLToPath(import.meta.resolve(name)); }
function file(name) { return readFileSync(path(name), "utf8"); }

function page(shot, body) {
  return `<!doctype html><meta charset="utf-8"><style>${XTERM_CSS}\n${CSS}</style>`
    + `<body class="theme-${shot.theme} ${shot.kind} ${shot.width <= PHONE_WIDTH ? "is-phone" : ""}"><div id="shot" style="width:${shot.width}px">${body}</div>`;
}

function properties(items) {
  if (!items.length) return "";
  const rows = items.map(({ key, kind, value }) => `<div class="property"><span class="key">${icon(ICONS[kind])}<span>${escaped(key)}</span></span><span class="value ${kind}">${propertyValue(kind, value)}</span></div>`);
  return `<div class="properties"><div class="properties-heading">Properties</div>${rows.join("")}</div>`;
}

function propertyValue(kind, value) {
  if (kind === "checkbox") return `<span class="box${value ? " is-checked" : ""}"></span>`;
  if (kind === "list") return value.map((item) => `<span class="pill">${escaped(item)}</span>`).join("");
  return escaped(value);
}

function note(shot) {
  return page(shot, `<div class="note"><div class="inline-title">${escaped(shot.title)}</div>${properties(shot.properties)}${rendered(shot.text, shot.open)}</div>`);
}

async function drawMermaid(tab, theme) {
  if (!(await tab.$("pre.mermaid"))) return;
  await tab.addScriptTag({ path: path("mermaid/dist/mermaid.min.js") });
  await tab.evaluate(async (dark) => {
    mermaid.initialize({ startOnLoad: false, theme: dark ? "dark" : "default", securityLevel: "strict" });
    await mermaid.run({ querySelector: "pre.mermaid" });
  }, theme === "dark");
}

async function drawTerminal(tab, shot) {
  await tab.addScriptTag({ path: path("@xterm/xterm/lib/xterm.js") });
  await tab.addScriptTag({ path: path("@xterm/addon-unicode11/lib/addon-unicode11.js") });
  await tab.evaluate(async ({ typed, output, columns }) => {
    const theme = {
      background: "#1e1e2e", foreground: "#cdd6f4", cursor: "#1e1e2e", black: "#45475a", red: "#f38ba8", green: "#a6e3a1",
      yellow: "#f9e2af", blue: "#89b4fa", magenta: "#f5c2e7", cyan: "#94e2d5", white: "#bac2de", brightBlack: "#7f849c",
      brightRed: "#f38ba8", brightGreen: "#a6e3a1", brightYellow: "#f9e2af", brightBlue: "#89b4fa",
      brightMagenta: "#f5c2e7", brightCyan: "#94e2d5", brightWhite: "#ffffff",
    };
    const terminal = new Terminal({ cols: columns, rows: 200, fontSize: 14, lineHeight: 1.15, theme, fontFamily: '"JetBrains Mono", "Noto Color Emoji", monospace', allowProposedApi: true, scrollback: 0 });
    terminal.loadAddon(new Unicode11Addon.Unicode11Addon());
    terminal.unicode.activeVersion = "11";
    terminal.open(document.querySelector("#terminal"));
    const prompt = `\x1b[32mada@ada-laptop\x1b[0m:\x1b[34m~/notes\x1b[0m$ `;
    await new Promise((done) => terminal.write(`${prompt}vault-sched ${typed}\r\n${output.trimEnd()}`, done));
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    const lines = Array.from({ length: 200 }, (_, at) => terminal.buffer.active.getLine(at)?.translateToString(true) ?? "");
    terminal.resize(columns, lines.findLastIndex((line) => line.trim()) + 1);
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  }, shot);
}

async function draw(browser, shot, folder) {
  const tab = await browser.newPage();
  await tab.setViewport({ width: shot.width + 40, height: 800, deviceScaleFactor: shot.scale });
  const bodies = {
    note: () => note(shot),
    base: () => page(shot, table(shot.base, shot.view, shot.notes, shot.now)),
    terminal: () => page(shot, '<div class="window"><div class="lights"><i></i><i></i><i></i></div><div id="terminal"></div></div>'),
  };
  await tab.setContent(bodies[shot.kind]());
  await drawMermaid(tab, shot.theme);
  if (shot.kind === "terminal") await drawTerminal(tab, shot);
  await tab.evaluate(() => document.fonts.ready);
  await (await tab.$("#shot")).screenshot({ path: `${folder}/${shot.name}.png` });
  await tab.close();
}

const [shots, folder] = [JSON.parse(readFileSync(process.argv[2], "utf8")), process.argv[3]];
const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--font-render-hinting=none", ...(process.getuid?.() === 0 ? ["--no-sandbox"] : [])],
});
try {
  for (const shot of shots) await draw(browser, shot, folder);
} finally {
  await browser.close();
}
