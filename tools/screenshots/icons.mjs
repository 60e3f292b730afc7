// Lucide's icons, which Obsidian uses, too.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** The SVG of an icon. */
export function icon(name) {
  const path = fileURLToPath(import.meta.resolve(`lucide-static/icons/${name}.svg`));
  return readFileSync(path, "utf8").replace(/<!--.*?-->/gs, "").trim();
}
