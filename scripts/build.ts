/** `npm run build`: dist/fairlead, one executable with everything in it. */
import { mkdirSync, statSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dir, "..");
const out = join(root, "dist/fairlead");
mkdirSync(join(root, "dist"), { recursive: true });
// Policies of users are imported at run time: their own imports are resolved there, not here.
const built = Bun.spawnSync([process.execPath, "build", "--compile", "--minify-syntax", "--no-compile-autoload-dotenv", "--no-compile-autoload-bunfig", "--outfile", out, join(root, "src/cli/main.ts")], { stdio: ["ignore", "inherit", "inherit"] });
if (built.exitCode !== 0) process.exit(built.exitCode);
console.log(`${out}: ${Math.round(statSync(out).size / 2 ** 20)} MiB`);
