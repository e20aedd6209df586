/** A udp listener in this process, its back ends and clients; all end with the test. */
import { afterEach } from "bun:test";
import { Plane, type PlaneOptions } from "../support/plane.ts";
import { type Answer, UdpClient, UdpServer } from "../support/udp.ts";

const open: { stop(): void }[] = [];
afterEach(() => {
  for (const each of open.splice(0).toReversed()) each.stop();
});

export function atEnd(stop: () => void): void {
  open.push({ stop });
}

/** @param names of the servers: each answers with its name and what it was told */
export async function servers(...names: readonly string[]): Promise<UdpServer[]> {
  const all: UdpServer[] = [];
  for (const name of names) all.push(await server(({ text }) => `${name} ${text}`));
  return all;
}

export async function server(answer?: Answer, host?: string, port?: number): Promise<UdpServer> {
  const started = await UdpServer.start(answer, host, port);
  open.push(started);
  return started;
}

export async function client(to: Plane, host?: string, from?: string): Promise<UdpClient> {
  const opened = await UdpClient.open(to.port(), host, from);
  atEnd(() => opened.close());
  return opened;
}

export async function clients(to: Plane, count: number): Promise<UdpClient[]> {
  const all: UdpClient[] = [];
  while (all.length < count) all.push(await client(to));
  return all;
}

export type Targets = readonly (string | { readonly address: string; readonly more?: string })[];

/** @param listener, upstream further keys of theirs, as lines of the file */
export function config(targets: Targets, listener = "", upstream = ""): string {
  const lines = targets.map((target) => (typeof target === "string" ? `{ address = "${target}" }` : `{ address = "${target.address}"${target.more === undefined ? "" : `, ${target.more}`} }`));
  return `
[[listeners]]
name = "front"
${listener.includes("address =") ? "" : 'address = "127.0.0.1:0"'}
protocol = "udp"
upstream = "main"
${listener}
[[upstreams]]
name = "main"
targets = [${lines.join(", ")}]
${upstream}
`;
}

export async function plane(targets: Targets, listener?: string, upstream?: string, options?: PlaneOptions): Promise<Plane> {
  const started = await Plane.start(config(targets, listener, upstream), options);
  open.push(started);
  return started;
}
