/** Connections that are cut in the middle of a TLS handshake are over: they are no connects that hang. */
import { expect, test } from "bun:test";
import { Flag } from "../../src/scoreboard/scoreboard.ts";
import { Plane } from "../support/plane.ts";
import { until } from "../support/until.ts";

/** More than may hang. */
const CUT = 70;

test("a target whose handshakes were cut is asked again", async () => {
  let accepted = 0;
  // It takes connections and says nothing, so that every handshake is under way.
  const target = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { open: () => void accepted++, data() {} } });
  const address = `127.0.0.1:${target.port}`;
  const plane = await Plane.start(`
[[listeners]]
address = "127.0.0.1:0"
upstream = "main"
[[upstreams]]
name = "main"
retries = 0
tls = { verify = false }
outlier_detection = false
targets = [{ address = "${address}" }]
`);
  try {
    const ask = (): Promise<number> => fetch(`http://127.0.0.1:${plane.port()}/`, { keepalive: false }).then(({ status }) => status);
    const cut = Array.from({ length: CUT }, ask);
    await until("every handshake to be under way", () => accepted === CUT);
    plane.flag({ address }, Flag.DRAINING | Flag.CUT);
    expect(new Set(await Promise.all(cut))).toEqual(new Set([503]));
    plane.flag({ address }, 0);
    const again = ask();
    again.catch(() => {});
    await until("another connection", () => accepted === CUT + 1);
  } finally {
    plane.stop();
    target.stop(true);
  }
});
