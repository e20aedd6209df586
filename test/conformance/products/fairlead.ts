/** Fairlead as it comes: nothing is set but addresses, and that HTTP/2 is not taken on listeners where its preface is a case. */
import packageJson from "../../../package.json";
import { Fairlead } from "../../support/fairlead.ts";
import { toToml } from "../../support/toml.ts";
import type { Product } from "./product.ts";

export const fairlead: Product = {
  name: "Fairlead",
  protocols: ["h1", "h2c"],
  version: () => `Fairlead ${packageJson.version} on Bun ${Bun.version}`,
  install: "npm ci",
  async start(lanes, protocol, http2) {
    const toml = toToml({
      workers: 1,
      listeners: lanes.map(({ port }, i) => ({ name: `l${i}`, address: `127.0.0.1:${port}`, protocol: "http", http2, upstream: `u${i}` })),
      upstreams: lanes.map(({ backend }, i) => ({ name: `u${i}`, policy: "round-robin", ...(protocol === "h2c" ? { protocol } : {}), targets: [{ address: backend }] })),
    });
    const running = await Fairlead.start(toml);
    return { stop: () => running.kill() };
  },
};
