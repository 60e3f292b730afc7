// Markdown as Obsidian's reading view shows it, as far as the scheduler's notes use it: callouts, wikilinks, block
// ids, comments, task boxes, highlights, Mermaid, single line ends as line breaks.
import MarkdownIt from "markdown-it";
import { icon } from "./icons.mjs";

const CALLOUTS = {
  abstract: ["cyan", "clipboard-list"], bug: ["red", "bug"], danger: ["red", "zap"], error: ["red", "zap"],
  example: ["purple", "list"], fail: ["red", "x"], failure: ["red", "x"], info: ["blue", "info"],
  missing: ["red", "x"], note: ["blue", "pencil"], question: ["orange", "circle-question-mark"],
  quote: ["grey", "quote"], success: ["green", "check"], summary: ["cyan", "clipboard-list"], tip: ["cyan", "flame"],
  todo: ["blue", "circle-check"], warning: ["orange", "triangle-alert"],
};
const COMMENT = /%%[\s\S]*?(?:%%|$)/g;
const BLOCK_ID = /(?:^|\s)\^[A-Za-z0-9-]+\s*$/;

const md = new MarkdownIt({ html: false, linkify: true, breaks: true });
md.inline.ruler.before("link", "wikilink", (state, silent) => {
  const found = /^\[\[([^\[\]|]+)(?:\|([^\[\]]+))?\]\]/.exec(state.src.slice(state.pos));
  if (!found) return false;
  if (!silent) {
    const token = state.push("html_inline", "", 0);
    token.content = `<a class="internal-link">${md.utils.escapeHtml(found[2] ?? found[1])}</a>`;
  }
  state.pos += found[0].length;
  return true;
});
md.inline.ruler.before("emphasis", "highlight", (state, silent) => {
  const found = /^==(?=\S)([^=\n]+)==/.exec(state.src.slice(state.pos));
  if (!found) return false;
  if (!silent) state.push("html_inline", "", 0).content = `<mark>${md.utils.escapeHtml(found[1])}</mark>`;
  state.pos += found[0].length;
  return true;
});
md.core.ruler.before("inline", "block_ids", (state) => {
  for (const [at, token] of state.tokens.entries()) {
    if (token.type !== "inline") continue;
    token.content = token.content.replace(BLOCK_ID, "");
    if (!token.content.trim() && state.tokens[at - 1].type === "paragraph_open") hide(state.tokens, at);
  }
});
md.core.ruler.before("inline", "task_boxes", (state) => {
  for (const [at, token] of state.tokens.entries()) {
    const box = token.type === "inline" && state.tokens[at - 2]?.type === "list_item_open" && /^\[([ xX])\] /.exec(token.content);
    if (!box) continue;
    state.tokens[at - 2].attrJoin("class", `task${box[1] === " " ? "" : " is-checked"}`);
    token.content = token.content.slice(4);
  }
});
md.core.ruler.before("inline", "callouts", (state) => {
  for (const [at, token] of state.tokens.entries()) {
    if (token.type !== "blockquote_open" || state.tokens[at + 2]?.type !== "inline") continue;
    const text = state.tokens[at + 2];
    const head = /^\[!([\w-]+)\]([-+]?)[ \t]*([^\n]*)(?:\n|$)/.exec(text.content);
    if (!head) continue;
    token.meta = { kind: head[1].toLowerCase(), fold: head[2], title: head[3].replace(BLOCK_ID, "") };
    text.content = text.content.slice(head[0].length);
    if (!text.content) hide(state.tokens, at + 2);
  }
});

function hide(tokens, inline) {
  for (const token of tokens.slice(inline - 1, inline + 2)) {
    token.hidden = true;
    token.type = "gone";
    token.content = "";
  }
}

md.renderer.rules.gone = () => "";
md.renderer.rules.blockquote_open = (tokens, at, options, env) => {
  const meta = tokens[at].meta;
  env.quotes = [...(env.quotes ?? []), Boolean(meta)];
  if (!meta) return "<blockquote>";
  const [colour, sign] = CALLOUTS[meta.kind] ?? CALLOUTS.note;
  const number = (env.callouts = (env.callouts ?? 0) + 1);
  const folded = meta.fold === "-" && !env.open.includes(number);
  const arrow = meta.fold ? `<div class="callout-fold">${icon("chevron-down")}</div>` : "";
  const title = meta.title || meta.kind[0].toUpperCase() + meta.kind.slice(1);
  return `<div class="callout${folded ? " is-collapsed" : ""}" style="--callout-color: var(--${colour}-rgb)">`
    + `<div class="callout-title"><div class="callout-icon">${icon(sign)}</div>`
    + `<div class="callout-title-inner">${md.renderInline(title)}</div>${arrow}</div><div class="callout-content">`;
};
md.renderer.rules.blockquote_close = (_tokens, _at, _options, env) => (env.quotes.pop() ? "</div></div>" : "</blockquote>");
md.renderer.rules.fence = (tokens, at) => {
  const text = md.utils.escapeHtml(tokens[at].content);
  if (tokens[at].info.trim() === "mermaid") return `<pre class="mermaid">${text}</pre>`;
  return `<pre><code>${text}</code></pre>`;
};

/** The HTML of a note's text; `open`: which callouts were clicked open, counted from 1. */
export function rendered(text, open) {
  return md.render(text.replace(COMMENT, ""), { open });
}

export const escaped = md.utils.escapeHtml;
