// Counts the tokens that the tool list takes of a model's context: node count-tokens.mjs LIST.json MOST
// where LIST.json is the answer to tools/list.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(process.cwd() + "/.tools/node/");
const [file, most] = process.argv.slice(2);
const tools = JSON.parse(readFileSync(file, "utf8")).result.tools;
let failed = false;
for (const encoding of ["o200k_base", "cl100k_base"]) {
  const { countTokens } = require(`gpt-tokenizer/encoding/${encoding}`);
  const count = countTokens(JSON.stringify(tools));
  console.log(`${encoding}: ${count} tokens for ${tools.length} tools, at most ${most}`);
  failed ||= count > Number(most);
}
process.exit(failed ? 1 : 0);
