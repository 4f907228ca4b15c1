// Builds what a view loads: `npm run build` writes resviz/views/widgets/built/, `npm run fresh`
// compares. One ES module for each view, with all that it imports, and the style sheets. Names stay,
// so that errors can be read; source maps (*.js.map) are written beside and are not committed: each
// build makes the same ones again, and no page needs them.
import { createHash } from "node:crypto";
import { mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { build, transform } from "esbuild";

const ROOT = path.dirname(fileURLToPath(import.meta.url));
const FRONTEND = path.join(ROOT, "resviz/views/widgets/frontend");
const BUILT = path.join(ROOT, "resviz/views/widgets/built");
const VIEWS = {
  atlas: "atlas/screen.js",
  explanation: "explanation.js",
  explore: "explore/screen.js",
  feature_maps: "feature_maps.js",
  gradients: "gradients.js",
  residuals: "residuals.js",
};
/** Style sheets that not all views need: every notebook carries those of its views. */
const OWN = { atlas: /^atlas\//, explanation: /^explanation\.css$/, residuals: /^(chart|residuals)\.css$/, gradients: /^(chart|gradients)\.css$/ };
/** What else decides about the bundles; a line for each in `sources`. */
const BESIDE = ["build.mjs", "package-lock.json"];
/** Names within libraries are short: nobody reads their errors, and every notebook carries them. */
const LIBRARIES = {
  name: "libraries",
  setup: ({ onLoad }) => onLoad({ filter: /node_modules.*\.m?js$/ }, async ({ path: file }) => {
    const { code } = await transform(await readFile(file, "utf8"), { minifyIdentifiers: true, sourcemap: "inline", sourcefile: file });
    return { contents: code, loader: "js" };
  }),
};
const SHARED = {
  bundle: true, write: false, absWorkingDir: ROOT, outdir: BUILT, target: "esnext", logLevel: "error",
  minifyWhitespace: true, minifySyntax: true, lineLimit: 200, charset: "utf8", legalComments: "inline",
  plugins: [LIBRARIES],
};
const ENTRY = /export\s*\{\s*([\w$]+) as default\s*\};?\s*$/;

/** The files of built/ by name, as they should be. */
async function made() {
  const own = Object.entries(OWN);
  const files = { "style.css": await style((name) => !own.some(([, sheets]) => sheets.test(name))) };
  for (const [view, sheets] of own) files[`${view}.css`] = await style((name) => sheets.test(name));
  const inputs = new Set();
  for (const [name, file] of Object.entries(VIEWS)) {
    const { outputFiles, metafile } = await build({ ...SHARED, ...viewOf(name, file) });
    const [map, code] = [".map", ".js"].map((end) => outputFiles.find(({ path: out }) => out.endsWith(end)).text);
    Object.assign(files, await shortened(name, code, map));
    for (const input of Object.keys(metafile.inputs)) inputs.add(input);
  }
  files["licenses.txt"] = await licences(inputs);
  const kept = Object.entries(files).filter(([name]) => !name.endsWith(".map"));
  files["hashes.json"] = `${JSON.stringify({ sources: hashOf(await sources()), built: hashOf(kept) }, null, 2)}\n`;
  return files;
}

/** A view exports its render alone; what its file exports for others and for tests stays out. */
function viewOf(name, file) {
  const contents = `export { default } from "./${file}";`;
  const stdin = { contents, resolveDir: FRONTEND, sourcefile: `${name}.entry.js` };
  return { stdin, outdir: undefined, outfile: path.join(BUILT, `${name}.js`), format: "esm", sourcemap: "external", metafile: true };
}

/**
 * Names within functions are short, those of functions stay: esbuild renames nothing at the top of
 * what is no module. What holds a view says `export default`, in one form.
 */
async function shortened(name, code, map) {
  const entry = ENTRY.exec(code);
  if (!entry) throw new Error(`build: ${VIEWS[name]} has no default export.`);
  const inline = `//# sourceMappingURL=data:application/json;base64,${Buffer.from(map).toString("base64")}`;
  const { minifyWhitespace, minifySyntax, charset, legalComments, target } = SHARED; // no lineLimit: it breaks texts, too
  const made = await transform(`${code.slice(0, entry.index)}\n${inline}`, {
    ...{ minifyWhitespace, minifySyntax, charset, legalComments, target },
    ...{ minifyIdentifiers: true, sourcemap: "external", sourcefile: `${name}.js` },
  });
  return { [`${name}.js`]: `${made.code}export default ${entry[1]};\n`, [`${name}.js.map`]: made.map };
}

/** Some of the style sheets, the shared one first. */
async function style(wanted) {
  const sheets = (await filesOf(FRONTEND)).filter((name) => name.endsWith(".css") && wanted(name));
  const first = (name) => (name === "style.css" ? `0${name}` : `1${name}`);
  sheets.sort((a, b) => (first(a) < first(b) ? -1 : 1));
  const contents = sheets.map((name) => `@import "./${name}";`).join("\n");
  const stdin = { contents, resolveDir: FRONTEND, loader: "css", sourcefile: "all.css" };
  return (await build({ ...SHARED, stdin })).outputFiles[0].text;
}

/** The licences of the libraries that the bundles hold. */
async function licences(inputs) {
  const names = new Set([...inputs].map((file) => /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(file)?.[1]));
  const texts = [...names].filter(Boolean).sort().map(async (name) => {
    const folder = path.join(ROOT, "node_modules", name);
    const { version } = JSON.parse(await readFile(path.join(folder, "package.json"), "utf8"));
    return `${name} ${version}\n\n${(await readFile(path.join(folder, "LICENSE"), "utf8")).trim()}\n`;
  });
  return (await Promise.all(texts)).join("\n\n");
}

/** [name, text] of all that goes in, by name. */
async function sources() {
  const inside = (await filesOf(FRONTEND)).filter((name) => /\.(js|css)$/.test(name));
  const read = (name, from) => readFile(path.join(from, name), "utf8").then((text) => [name, text]);
  return Promise.all([...inside.map((name) => read(name, FRONTEND)), ...BESIDE.map((name) => read(name, ROOT))]);
}

async function filesOf(folder) {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const names = entries.filter((one) => one.isFile()).map((one) => path.relative(folder, path.join(one.parentPath, one.name)));
  return names.map((name) => name.split(path.sep).join("/"));
}

/** tests/views/test_modules.py works it out, too, where there is no npm. */
function hashOf(named) {
  const hash = createHash("sha256");
  for (const [name, text] of [...named].sort(([a], [b]) => (a < b ? -1 : 1))) hash.update(`${name}\0${text}\0`);
  return hash.digest("hex");
}

async function write(files) {
  await rm(BUILT, { recursive: true, force: true });
  await mkdir(BUILT, { recursive: true });
  for (const [name, text] of Object.entries(files)) await writeFile(path.join(BUILT, name), text);
}

async function compare(files) {
  const known = (name) => readFile(path.join(BUILT, name), "utf8").catch(() => null);
  for (const [name, text] of Object.entries(files)) {
    if (name.endsWith(".map") || (await known(name)) === text) continue;
    console.error(`built/${name} is not what the sources give; run npm run build and commit it.`);
    process.exitCode = 1;
  }
}

const files = await made();
await (process.argv.includes("--check") ? compare(files) : write(files));
