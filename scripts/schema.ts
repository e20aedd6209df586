/** Writes fairlead.schema.json, the JSON Schema that editors complete fairlead.toml with. Run it after a change in src/config/schema/. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { jsonSchema } from "../src/config/schema.ts";

writeFileSync(join(import.meta.dir, "..", "fairlead.schema.json"), `${JSON.stringify(jsonSchema(), null, 2)}\n`);
