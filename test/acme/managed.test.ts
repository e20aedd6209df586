/** When a certificate is ordered, by a clock of the test's: the CA is one that cannot be reached. */
import { afterEach, describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { PendingChallenges } from "../../src/acme/challenges.ts";
import { ManagedCertificate } from "../../src/acme/managed.ts";
import type { AcmeCertificateConfig } from "../../src/config/snapshot.ts";
import { silentLog } from "../../src/observability/log.ts";
import { Authority } from "../support/certificates.ts";
import { until } from "../support/until.ts";
import { ManualClock } from "../support/upstreams.ts";
import { temporaryDirectory } from "./support.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const directory = "https://127.0.0.1:1/directory";

const running: ManagedCertificate[] = [];
const storage = temporaryDirectory();
afterEach(() => {
  for (const managed of running.splice(0)) managed.stop();
  storage.remove();
});

function certificate(name: string): AcmeCertificateConfig {
  return { account: { directory, file: join(storage.path, "account.json") }, domains: [name], challenges: ["http-01"], keyType: "ec256", file: join(storage.path, `${name}.pem`) };
}

/** @param random stands in for chance */
function managed(config: AcmeCertificateConfig, clock: ManualClock, random = 0): ManagedCertificate {
  const made = new ManagedCertificate(config, { clock, random: () => random, log: silentLog(), pending: new PendingChallenges(async () => {}), inTurn: (_what, work) => work() });
  running.push(made);
  return made;
}

function failures(of: ManagedCertificate, count: number): Promise<unknown> {
  return until(`failure ${count}`, () => of.status.failures === count && !of.status.ordering);
}

describe("a CA that does not answer", () => {
  test("is asked again after 1, 2, 4, … minutes, up to a day, and never in between", async () => {
    const clock = new ManualClock();
    const one = managed(certificate("a.test"), clock);
    one.look();
    await failures(one, 1);
    for (let n = 1; n <= 13; n++) {
      const pause = Math.min(DAY, MINUTE * 2 ** (n - 1));
      expect(one.status.nextAttempt).toBe(new Date(clock.wall() + pause).toISOString());
      clock.advance(pause - 1);
      expect(one.status).toMatchObject({ ordering: false, failures: n });
      clock.advance(1);
      expect(one.status.ordering).toBe(true);
      await failures(one, n + 1);
    }
  });

  test("is asked again by a restart when it would have been, and at once when a clock was wrong", async () => {
    const clock = new ManualClock();
    const config = certificate("b.test");
    const one = managed(config, clock);
    one.look();
    await failures(one, 1);
    one.stop();
    clock.advance(20_000);
    const other = managed(config, clock);
    other.look();
    expect(other.status).toMatchObject({ ordering: false, failures: 1 });
    clock.advance(40_000);
    expect(other.status.ordering).toBe(true);
    await failures(other, 2);
    other.stop();
    // As it was a month ago, by a clock that ran ahead.
    const behind = new ManualClock();
    behind.now = clock.now - 30 * DAY;
    const late = managed(config, behind);
    late.look();
    expect(late.status.ordering).toBe(true);
    await failures(late, 1);
  });
});

describe("a certificate of 90 days", () => {
  test("is renewed after 60, by chance up to 1.8 earlier, and served beyond its end when it cannot be", async () => {
    const { certificate: chain, key } = await (await Authority.create()).issue({ names: ["c.test"], from: 0, to: 90 });
    const config = certificate("c.test");
    mkdirSync(dirname(config.file), { recursive: true });
    writeFileSync(config.file, chain + key);
    const clocks = [0, 0.999].map((random) => {
      const clock = new ManualClock();
      // Its wall clock is the real one, which the certificate goes by.
      clock.now += Date.now() - clock.wall();
      const one = managed(config, clock, random);
      one.look();
      return { clock, one };
    });
    const [late, early] = clocks as [(typeof clocks)[0], (typeof clocks)[0]];
    early.clock.advance(58 * DAY);
    expect(early.one.status.ordering).toBe(false);
    early.clock.advance(0.4 * DAY);
    expect(early.one.status.ordering).toBe(true);
    await failures(early.one, 1);
    early.one.stop();
    late.clock.advance(59.9 * DAY);
    // The first one's failure is on the disk they share, and its pause is over.
    expect(late.one.status).toMatchObject({ state: "valid", ordering: false });
    late.clock.advance(0.2 * DAY);
    await until("a failure", () => !late.one.status.ordering && late.one.status.failures > 0);
    expect(late.one.status.state).toBe("valid");
    late.clock.now += 31 * DAY;
    expect(late.one.status.state).toBe("expired");
    expect(late.one.status.lastError).toContain("cannot be asked");
  });
});
