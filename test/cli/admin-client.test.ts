/** How commands find the admin address of a running instance, and what they say when it cannot be found or refuses. */
import { afterAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { AdminClient, AdminRefused } from "../../src/cli/admin-client.ts";
import { freePort } from "../support/ports.ts";
import { openStage } from "../support/stage.ts";
import { FAIRLEAD, ran } from "./ran.ts";

const stage = openStage();
const directory = stage.directory();
const problem = (status: number, detail: string): Response => new Response(JSON.stringify({ type: "x", title: "Title", status, detail }), { status, headers: { "Content-Type": "application/problem+json" } });

function answer(request: Request): Response | Promise<Response> {
  switch (new URL(request.url).pathname) {
    case "/echo":
      return request.text().then((body) => Response.json({ method: request.method, authorization: request.headers.get("authorization"), type: request.headers.get("content-type"), body }));
    case "/ends":
      return new Response("event: a\ndata: 1\n\n");
    case "/breaks":
      return new Response(
        new ReadableStream({
          async start(controller) {
            controller.enqueue("event: a\ndata: 1\n\n");
            await Bun.sleep(10);
            controller.error(new Error("gone"));
          },
        }),
      );
    case "/page":
      return new Response("<html>");
    case "/v1/events":
      return Response.json({ events: Array.from({ length: 1000 }, (_, id) => ({ id, at: "2026-07-01T12:00:00.000Z", upstream: "", target: "", kind: "started", summary: "x".repeat(200), by: "" })) });
    case "/none":
      return new Response(null, { status: 204 });
    case "/token":
      return problem(401, "show it");
    case "/problem":
      return problem(409, "that does not go");
    default:
      return new Response("<html>", { status: 502 });
  }
}

const tcp = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: answer });
const path = join(directory, "admin.sock");
const unix = Bun.serve({ unix: path, fetch: answer });
afterAll(() => Promise.all([tcp.stop(true), unix.stop(true)]));

function file(name: string, text: string): string {
  const at = join(directory, name);
  writeFileSync(at, text);
  return at;
}

async function refused(action: () => unknown): Promise<string> {
  try {
    await action();
  } catch (error) {
    if (error instanceof AdminRefused) return error.message;
    throw error;
  }
  throw new Error("it was not refused");
}

describe("the admin address", () => {
  test("is the configuration's, with its token; a token that is given comes before it", async () => {
    const config = file("a.toml", `[admin]\naddress = "127.0.0.1:${tcp.port}"\ntoken = "of the file"\n`);
    expect(await AdminClient.find({ config }).call<object>("GET", "/echo")).toMatchObject({ method: "GET", authorization: "Bearer of the file" });
    expect(await AdminClient.find({ config, token: "given" }).call<object>("PUT", "/echo", { a: 1 })).toMatchObject({ method: "PUT", authorization: "Bearer given", type: "application/json", body: '{"a":1}' });
  });

  test("is the one that is given, as address, URL or unix socket", async () => {
    const config = join(directory, "nowhere.toml");
    for (const admin of [`127.0.0.1:${tcp.port}`, `http://127.0.0.1:${tcp.port}/`, `unix:${path}`]) expect(await AdminClient.find({ config, admin }).call<object>("POST", "/echo", "as it is")).toMatchObject({ authorization: null, type: "text/plain", body: "as it is" });
    expect(await AdminClient.find({ config, admin: `unix:${path}` }).call<undefined>("DELETE", "/none")).toBeUndefined();
  });

  test("is asked without the proxy that the environment names", async () => {
    process.env["http_proxy"] = `http://127.0.0.1:${await freePort()}`;
    try {
      expect(await AdminClient.find({ config: "x.toml", admin: `127.0.0.1:${tcp.port}` }).call<object>("GET", "/echo")).toMatchObject({ method: "GET" });
    } finally {
      delete process.env["http_proxy"];
    }
  });

  test("that listens everywhere is reached on this machine", async () => {
    const everywhere = Bun.serve({ port: 0, hostname: "0.0.0.0", fetch: answer });
    const config = file("every.toml", `[admin]\naddress = ":${everywhere.port}"\ntoken = "x"\n`);
    expect(await AdminClient.find({ config }).call<object>("GET", "/echo")).toMatchObject({ method: "GET" });
    await everywhere.stop(true);
  });
});

describe("a stream of events", () => {
  test.each([
    ["/ends", "has ended the stream"],
    ["/breaks", "broke off"],
  ])("of %s is told, and how it ends", async (path, how) => {
    const seen: string[] = [];
    const reading = async (): Promise<void> => {
      for await (const { type, data } of AdminClient.find({ config: "x.toml", admin: `127.0.0.1:${tcp.port}` }).events(path)) seen.push(`${type} ${data}`);
    };
    expect(await refused(reading)).toContain(how);
    expect(seen).toEqual(["a 1"]);
  });
});

describe("what is said", () => {
  test("when it is not known where it is", async () => {
    const nowhere = join(directory, "nowhere.toml");
    expect(await refused(() => AdminClient.find({ config: nowhere }))).toBe(`there is no ${nowhere} to say where the admin address is: name another with --config, or the address with --admin 127.0.0.1:9901`);
    const none = file("none.toml", "workers = 1\n");
    expect(await refused(() => AdminClient.find({ config: none }))).toContain(`${none} has no admin address: add [admin]`);
    const broken = file("broken.toml", "[admin\n");
    expect(await refused(() => AdminClient.find({ config: broken }))).toContain(`fairlead check ${broken}`);
    expect(await refused(() => AdminClient.find({ config: none, admin: "99999" }))).toBe('--admin: "99999" is no address: write it as 127.0.0.1:9901 or unix:/run/fairlead.sock');
    expect(await refused(() => AdminClient.find({ config: directory }))).toContain(`${directory} cannot be read`);
  });

  test("when nothing answers there", async () => {
    const port = await freePort();
    const gone = join(directory, "gone.sock");
    for (const admin of [`127.0.0.1:${port}`, `unix:${gone}`]) expect(await refused(() => AdminClient.find({ config: "x.toml", admin }).call("GET", "/v1/status"))).toContain(`nothing answers at ${admin}: is Fairlead running`);
  });

  test("when it refuses", async () => {
    const admin = `127.0.0.1:${tcp.port}`;
    const client = AdminClient.find({ config: "x.toml", admin });
    expect(await refused(() => client.call("GET", "/problem"))).toBe("that does not go");
    expect(await refused(() => client.call("GET", "/token"))).toBe(`${admin} wants a token: give it with --token or FAIRLEAD_TOKEN`);
    expect(await refused(() => AdminClient.find({ config: "x.toml", admin, token: "no" }).call("GET", "/token"))).toBe(`${admin} wants a token: the one that was shown is not it`);
    expect(await refused(() => client.call("GET", "/elsewhere"))).toBe(`${admin} answers 502, and no Fairlead: is it the admin address?`);
    expect(await refused(() => client.call("GET", "/page"))).toBe(`${admin} answers, but no Fairlead: is it the admin address?`);
    for (const token of ["two\nlines", "t\u00F6ken"]) expect(await refused(() => AdminClient.find({ config: "x.toml", admin, token }).call("GET", "/echo"))).toContain("the token has characters that no token has");
  });
});

test("whoever has read enough of what a command says ends it without a complaint", async () => {
  const { code, stdout, stderr } = await ran(["-c", `{ "${FAIRLEAD}" events --limit 1000 --admin 127.0.0.1:${tcp.port}; echo "code $?" >&2; } | head -n 1`], directory, ["sh"]);
  expect({ code, lines: stdout.split("\n").length, stderr }).toEqual({ code: 0, lines: 2, stderr: "code 0\n" });
});
