#!/usr/bin/env node
// Bundles the dashboard's page and writes it as a C++ source, so that every program has it inside.
//
//   build.mjs OUTPUT.cpp
import { build } from "esbuild";
import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const here = path.dirname(fileURLToPath(import.meta.url));
const output = process.argv[2];
if (!output) throw new Error("expected the name of a file to write");

const { outputFiles } = await build({
  absWorkingDir: here,
  entryPoints: { dashboard: "src/main.js" },
  outdir: "out",
  bundle: true,
  minify: true,
  write: false,
  format: "iife",
  target: ["chrome100", "firefox100", "safari15.4"],
  legalComments: "inline",
  charset: "utf8",
});

const types = {
  ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
};

function asset(file, bytes) {
  const { name, ext } = path.parse(file);
  const digest = createHash("sha256").update(bytes).digest("hex").slice(0, 10);
  return { source: `${name}${ext}`, name: `${name}-${digest}${ext}`, type: types[ext], bytes };
}

const read = (file) => fs.readFileSync(path.join(here, file));
const assets = [
  ...outputFiles.map((file) => asset(file.path, Buffer.from(file.contents))),
  asset("icon.svg", read("icon.svg")),
];
const document = (file) => assets.reduce(
  (text, one) => text.replaceAll(`{{${one.source}}}`, `dashboard/assets/${one.name}`),
  read(file).toString());

/// Bytes as the text of a C++ literal. Three octal digits end themselves, whatever follows.
function literal(bytes) {
  const lines = [];
  for (let at = 0; at < bytes.length; at += 100) {
    let line = "";
    for (const byte of bytes.subarray(at, at + 100)) {
      const plain = byte >= 32 && byte < 127 && byte !== 34 && byte !== 92 && byte !== 63;
      line += plain ? String.fromCharCode(byte) : `\\${byte.toString(8).padStart(3, "0")}`;
    }
    lines.push(`    "${line}"`);
  }
  return `{\n${lines.join("\n")},\n    ${bytes.length}}`;
}

const view = (text) => `std::string_view${literal(Buffer.from(text))}`;
const files = assets.map(({ name, type, bytes }) =>
  `  {"${name}", "${type}",\n   ${view(bytes)},\n   ${view(gzipSync(bytes, { level: 9 }))}},`);

fs.mkdirSync(path.dirname(output), { recursive: true });
fs.writeFileSync(output, `// Made by operations/dashboard/page/build.mjs.
#include "operations/dashboard/page.hpp"

namespace roost::detail {
namespace {
constexpr page_file files[] = {
${files.join("\n")}
};
}  // namespace

std::span<const page_file> page_files() { return files; }
std::string_view page_document() {
  return ${view(document("index.html"))};
}
std::string_view sign_in_document() {
  return ${view(document("sign_in.html"))};
}

}  // namespace roost::detail
`);
const size = assets.reduce((sum, one) => sum + gzipSync(one.bytes, { level: 9 }).length, 0);
console.log(`the dashboard's page: ${(size / 1024).toFixed(1)} KB compressed`);
