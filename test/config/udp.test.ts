/** What a udp listener may say, what it may not, and what is warned of. */
import { describe, expect, test } from "bun:test";
import type { NetworkInterfaceInfo } from "node:os";
import { diagnosticLine, loadConfigText, snapshotFromFlags, SlotAllocator } from "../../src/config/load.ts";
import type { ListenerConfig } from "../../src/config/snapshot.ts";
import { wildcardWarning } from "../../src/config/warnings.ts";

const slots = (): SlotAllocator => new SlotAllocator({ targets: 16, upstreams: 4 });

function load(listener: string, target = "127.0.0.1:53", more = "") {
  const text = `[[listeners]]\n${listener}\nupstream = "dns"\n[[upstreams]]\nname = "dns"\ntargets = [{ address = "${target}" }]\n${more}`;
  return loadConfigText(text, "f.toml", { slots: slots(), generation: 1 });
}

function lines(listener: string, target?: string, more?: string): string[] {
  const loaded = load(listener, target, more);
  return loaded.ok ? [] : loaded.diagnostics.map(diagnosticLine);
}

const UDP = 'address = "127.0.0.1:53"\nprotocol = "udp"';

test("a udp listener has its own keys and defaults", () => {
  const loaded = load(`${UDP}\nudp_responses = 1\ntimeouts = { udp_idle = "5s" }`);
  expect(loaded.ok && loaded.snapshot.listeners[0]).toMatchObject({ protocol: "udp", udpResponses: 1, timeouts: { udpIdle: 5_000 } });
  const plain = load(UDP);
  expect(plain.ok && [plain.snapshot.listeners[0]!.udpResponses, plain.snapshot.listeners[0]!.timeouts.udpIdle]).toEqual([undefined, 60_000]);
});

describe("refused with a reason:", () => {
  for (const [listener, expected] of [
    [`${UDP}\nhealth_path = "/health"`, "f.toml:4:1: health_path means nothing to a udp listener (leave it out)"],
    [`${UDP}\ntcp_unavailable = "close"`, "f.toml:4:1: tcp_unavailable means nothing to a udp listener (leave it out)"],
    [`${UDP}\nproxy_protocol = { from = ["10.0.0.0/8"] }`, "f.toml:4:1: proxy_protocol means nothing to a udp listener (leave it out)"],
    [`${UDP}\ntls = "self-signed"`, "f.toml:4:1: tls means nothing to a udp listener (leave it out)"],
    [`${UDP}\nhttp2 = false`, "f.toml:4:1: http2 means nothing to a udp listener (leave it out)"],
    [`${UDP}\nredirect_https = true`, "f.toml:4:1: only http in the clear can be sent to https (leave it out here, and set it on the listener of port 80)"],
    [`${UDP}\ntimeouts = { tls_handshake = "5s" }`, "f.toml:4:14: tls_handshake means nothing to a udp listener (its timeout is udp_idle)"],
    [`${UDP}\nunderscore_names = "drop"`, "f.toml:4:1: underscore_names means nothing to a udp listener (leave it out)"],
    [`${UDP}\nlimits = { header_count = 5 }`, "f.toml:4:1: limits means nothing to a udp listener (leave it out)"],
    [`${UDP}\nforwarding = { via = false }`, "f.toml:4:1: forwarding means nothing to a udp listener (leave it out)"],
    [`${UDP}\ntimeouts = { tunnel_idle = "5s" }`, "f.toml:4:14: tunnel_idle means nothing to a udp listener (its timeout is udp_idle)"],
    [`${UDP}\ntimeouts = { udp_idle = "off" }`, 'f.toml:4:25: "off" is not a duration above zero, as "250ms", "5s" or "1m"'],
    [`${UDP}\nudp_responses = -1`, 'f.toml:4:17: "udp_responses" must be at least 0, not -1'],
    ['address = "unix:/run/dns.sock"\nprotocol = "udp"', 'f.toml:2:11: a udp listener has no unix socket (write an IP address, as "0.0.0.0:53" or "[::]:53")'],
    ['address = "localhost:53"\nprotocol = "udp"', 'f.toml:2:11: a udp listener needs an IP address, not the name "localhost" (write the address that the name stands for)'],
    ['address = "127.0.0.1:53"\nudp_responses = 1', 'f.toml:3:1: udp_responses goes with protocol = "udp" (set the protocol, or leave it out)'],
    ['address = "127.0.0.1:53"\nprotocol = "tcp"\ntimeouts = { udp_idle = "5s" }', 'f.toml:4:14: udp_idle goes with protocol = "udp" (set the protocol, or leave it out)'],
    [`${UDP}\nupstream = "dns"\n[[listeners]]\n${UDP}`, "f.toml:6:11: 127.0.0.1:53 is taken by listener 1 (each listener has an address of its own)"],
    ['address = ":53"\nprotocol = "udp"\nupstream = "dns"\n[[listeners]]\naddress = "[::]:53"\nprotocol = "udp"', "f.toml:6:11: [::]:53 and 0.0.0.0:53 of listener 1 are the same: [::] takes IPv4 clients too (leave out the listener on 0.0.0.0)"],
  ] as const) {
    test(expected, () => expect(lines(listener)).toEqual([expected]));
  }

  test("a target that is a unix socket", () => {
    expect(lines(UDP, "unix:/run/dns.sock")).toEqual(['f.toml:4:12: target unix:/run/dns.sock of upstream "dns" is a unix socket: it takes no datagrams (a udp listener needs an upstream whose targets are all host:port)']);
  });

  test("an upstream that names clients to its targets, or whose targets speak TLS", () => {
    expect(lines(UDP, undefined, 'proxy_protocol = "v2"\ntls = true\n')).toEqual([
      'f.toml:4:12: upstream "dns" says who the client is at the start of a connection (proxy_protocol), and udp has none (give udp an upstream of its own, without proxy_protocol)',
      'f.toml:4:12: the targets of upstream "dns" are spoken to over TLS, and datagrams would go there in the clear (give udp an upstream of its own, without tls)',
    ]);
  });

  test("a route", () => {
    expect(lines(`name = "ns"\n${UDP}`, undefined, '[[routes]]\nlisteners = ["ns"]\nupstream = "dns"\n')).toEqual([
      'f.toml:10:14: listener "ns" is udp: it knows no hosts, and all of it goes to its upstream (leave it out, or make the listener protocol = "http" or "tls-passthrough")',
    ]);
  });

  test("no upstream", () => {
    const loaded = loadConfigText(`[[listeners]]\n${UDP}\n`, "f.toml", { slots: slots(), generation: 1 });
    expect(!loaded.ok && loaded.diagnostics.map(diagnosticLine)).toEqual(['f.toml:1:1: a udp listener needs an upstream (add upstream = "…")']);
  });
});

test("a port of UDP and one of TCP are different ones", () => {
  expect(lines(`${UDP}\nupstream = "dns"\n[[listeners]]\naddress = "127.0.0.1:53"\nprotocol = "tcp"`)).toEqual([]);
  expect(lines('address = "systemd:dns"\nprotocol = "udp"\nupstream = "dns"\n[[listeners]]\naddress = "systemd:dns"\nprotocol = "tcp"')).toEqual([]);
  expect(lines('address = ":53"\nprotocol = "udp"\nupstream = "dns"\n[[listeners]]\naddress = "[::]:53"\nprotocol = "tcp"')).toEqual([]);
});

test("flags make a udp listener whose targets nobody tries to connect to", () => {
  const loaded = snapshotFromFlags({ listen: ["127.0.0.1:53"], target: ["127.0.0.1:5353"], protocol: "udp" }, { slots: slots(), generation: 1 });
  expect(loaded.ok && [loaded.snapshot.listeners[0]!.protocol, loaded.snapshot.upstreams[0]!.healthCheck]).toEqual(["udp", undefined]);
});

describe("a wildcard address", () => {
  const at = (host: string, protocol = "udp"): ListenerConfig => ({ name: "dns", protocol, address: { kind: "tcp", host, port: 53 } }) as ListenerConfig;
  const own = (...addresses: readonly string[]) => ({
    lo: [{ address: "127.0.0.1", family: "IPv4", internal: true }] as NetworkInterfaceInfo[],
    eth0: addresses.map((address) => ({ address, family: address.includes(":") ? "IPv6" : "IPv4", internal: false }) as NetworkInterfaceInfo),
  });

  test("is warned of where replies may come from another address than the client wrote to", () => {
    expect(wildcardWarning(at("0.0.0.0"), own("10.0.0.1", "10.0.0.2"))).toContain('udp listener "dns" listens on every address, and this machine has several (10.0.0.1, 10.0.0.2)');
    expect(wildcardWarning(at("::"), own("10.0.0.1", "10.0.0.2"))).toContain("10.0.0.2");
    expect(wildcardWarning(at("::"), own("2001:db8::1", "2001:db8::2"))).toContain("2001:db8::2");
  });

  test("is nothing to warn of otherwise", () => {
    for (const [listener, interfaces] of [
      [at("0.0.0.0"), own("10.0.0.1", "2001:db8::1", "2001:db8::2")],
      [at("::"), own("10.0.0.1", "2001:db8::1", "fe80::1")],
      [at("10.0.0.1"), own("10.0.0.1", "10.0.0.2")],
      [at("0.0.0.0", "tcp"), own("10.0.0.1", "10.0.0.2")],
    ] as const) {
      expect(wildcardWarning(listener, interfaces)).toBeUndefined();
    }
  });
});
