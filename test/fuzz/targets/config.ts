/** Configurations: texts, and what is made of one that is good. Whatever a text says, the answer is a snapshot or diagnostics that point into it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { diffConfigs, isUnchanged } from "../../../src/config/diff.ts";
import { effective, shown as told } from "../../../src/config/effective.ts";
import { redacted } from "../../../src/config/secret-keys.ts";
import { formatDiagnostics, loadConfigText, SlotAllocator } from "../../../src/config/load.ts";
import { makeSelfSigned } from "../../../src/config/self-signed.ts";
import { type Fuzzer, hold, shown } from "../fuzzer.ts";

const ROOT = join(import.meta.dir, "../../..");
const SLOTS = { targets: 1024, upstreams: 64 };
/** A large number of targets takes its time, as it may; see what one text may cost. */
const LONGEST = 4_000;

/** Blocks of TOML in the documents, and the examples' files. */
function seeds(): Buffer[] {
  const documents = ["README.md", "docs/listeners.md", "docs/upstreams.md", "docs/admin.md", "docs/logs.md", "docs/tls.md", "docs/udp.md", "docs/tracing.md", "docs/http2.md"].flatMap((file) => [...readFileSync(join(ROOT, file), "utf8").matchAll(/^```toml\n(.*?)^```/gms)].map(([, block = ""]) => block));
  const examples = ["examples/spells/fairlead.toml", "examples/spells/sticky.toml", "examples/systemd/fairlead.toml"].map((file) => readFileSync(join(ROOT, file), "utf8"));
  return [...documents, ...examples].filter((text) => text.length <= LONGEST).map((text) => Buffer.from(text));
}

const KEYS = Object.keys((JSON.parse(readFileSync(join(ROOT, "fairlead.schema.json"), "utf8")) as { properties: object }).properties);

export const config: Fuzzer = {
  name: "config",
  words: [...KEYS.map((key) => `${key} = `), ...KEYS.map((key) => `[${key}]\n`), "[[listeners]]\n", "[[upstreams]]\n", "[[upstreams.targets]]\n", "[[routes]]\n", "name = ", "upstream = ", "address = ", "policy = ", "protocol = ", '"', '"""', "'", "\n", "[", "]", "{", "}", ",", "=", ".", "#", "true", "false", '"off"', '"0s"', '"1ms"', '"-1s"', '"99999999999h"', '"1e3s"', "inf", "nan", "-0", "0x10", "1_000", "1979-05-27T07:32:00Z", '"127.0.0.1:80"', '"[::1]:80"', '"unix:/x"', '":0"', '"0.0.0.0:65536"', '"h2c"', '"__proto__"', "__proto__ = 1\n", "constructor = 1\n", "\\u0000", "\\uD800", "\t", "\0", "\xff", "é", "\u{1f600}", "*", "/", '"100%"', '"1GiB"'],
  seeds,
  run(input) {
    const text = input.subarray(0, LONGEST).toString("utf8");
    const load = () => loadConfigText(text, "fuzz.toml", { slots: new SlotAllocator(SLOTS), generation: 1, secret: () => "secret", selfSigned: () => SELF_SIGNED });
    const loaded = load();
    if (!loaded.ok) {
      const lines = text.split(/\r?\n/);
      hold(loaded.diagnostics.length > 0, "refused without a word");
      hold(formatDiagnostics(loaded.diagnostics, { color: false }) !== "", "nothing to read");
      for (const { place, message, quoted } of loaded.diagnostics) {
        hold(message !== "" && !/\[object |undefined|NaN/.test(message.replaceAll(/"[^"]*"/g, "")), `a message like ${shown(message)}`);
        if (place === undefined) continue;
        const line = lines[place.line - 1];
        hold(line !== undefined && place.column >= 1 && place.length >= 1 && place.column <= line.length + 1, `${message}: ${JSON.stringify(place)} is not in the text`);
        hold(quoted === undefined || quoted === line, `${message}: line ${place.line} is quoted as ${shown(quoted ?? "")}`);
      }
      return loaded.diagnostics.map(({ message }) => message.replaceAll(/"[^"]*"|\d+/g, "…")).toSorted()[0]!.slice(0, 80);
    }
    const all = effective(loaded.value);
    hold(isUnchanged(diffConfigs(all, effective(loaded.value))), "a configuration differs from itself");
    hold(JSON.stringify(redacted(told(all))) !== undefined, "it cannot be told");
    const again = load();
    hold(again.ok && JSON.stringify(again.snapshot) === JSON.stringify(loaded.snapshot), "the same text makes another snapshot");
    const { listeners, routes, upstreams } = loaded.snapshot;
    return `good: ${listeners.length} ${routes.length} ${upstreams.length} ${listeners.map(({ protocol }) => protocol).join()} ${loaded.warnings.length}`;
  },
};

/** Making one takes its time, and none of it is ours. */
const SELF_SIGNED = { file: "self-signed", ...makeSelfSigned(["localhost"], Date.now()) };
