/** What a running instance lets nobody make a target. */
import { expect, test } from "bun:test";
import { networkInterfaces } from "node:os";
import { forbiddenTarget } from "../../src/config/forbidden-target.ts";
import { formatAddress, parseAddress } from "../../src/config/values.ts";

function isForbidden(target: string, admin?: string): boolean {
  const snapshot = admin === undefined ? {} : { admin: { address: parseAddress(admin, false)!, tokens: [] } };
  return forbiddenTarget(parseAddress(target, false)!, "main", snapshot) !== undefined;
}

test("unix sockets, whatever the admin address is", () => {
  for (const admin of [undefined, "unix:/run/fairlead.sock", "127.0.0.1:9901"]) expect([admin, isForbidden("unix:/var/run/docker.sock", admin)]).toEqual([admin, true]);
});

test("the admin address, however it is written, and names that may lead there", () => {
  const own = Object.values(networkInterfaces()).flatMap((each) => each ?? []).filter(({ internal, scopeid }) => !internal && (scopeid ?? 0) === 0).map(({ address }) => formatAddress({ kind: "tcp", host: address, port: 9901 }));
  for (const [admin, forbidden, allowed] of [
    ["127.0.0.1:9901", ["127.0.0.1:9901", "[::ffff:127.0.0.1]:9901", "[::ffff:7f00:1]:9901", "0.0.0.0:9901", "[::]:9901", "localhost:9901", "an.example:9901"], ["127.0.0.1:9902", "127.0.0.2:9901", "192.0.2.7:9901", "localhost:9902"]],
    ["[::1]:9901", ["[::1]:9901", "[0:0::1]:9901", "[::]:9901", "localhost:9901"], ["192.0.2.7:9901"]],
    ["0.0.0.0:9901", ["127.0.0.1:9901", "127.9.9.9:9901", "[::1]:9901", "0.0.0.0:9901", ...own], ["192.0.2.7:9901", "[2001:db8::7]:9901"]],
    ["192.0.2.7:9901", ["192.0.2.7:9901", "[::ffff:192.0.2.7]:9901"], ["192.0.2.8:9901", "127.0.0.1:9901"]],
    ["lb.example:9901", ["127.0.0.1:9901", "lb.example:9901", ...own], ["192.0.2.8:9901"]],
  ] as const) {
    for (const target of forbidden) expect([admin, target, isForbidden(target, admin)]).toEqual([admin, target, true]);
    for (const target of allowed) expect([admin, target, isForbidden(target, admin)]).toEqual([admin, target, false]);
  }
  expect(isForbidden("127.0.0.1:9901")).toBe(false);
});
