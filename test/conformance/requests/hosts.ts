/** Published attacks on who a request is for: several hosts, targets that name another, fields that one hop takes away. */
import { type RequestCase, either, forward, get, must, refuse } from "../cases.ts";

const TROUBLES = "Chen and others: Host of Troubles: Multiple Host Ambiguities in HTTP Implementations (2016)";
const LENS = "Kettle: Cracking the Lens: Targeting HTTP's Hidden Attack-Surface (2017)";
const HDIFF = "Shen and others: HDiff: A Semi-automatic Framework for Discovering Semantic Gap Attack in HTTP Implementations (2022)";
const HOPS = "Davison: Abusing HTTP hop-by-hop request headers (2019)";
const CPDOS = "Nguyen and others: Your Cache Has Fallen: Cache-Poisoned Denial-of-Service Attack (2019)";

function line(name: string, target: string, source = LENS): RequestCase {
  return refuse(name, source, `GET ${target} HTTP/1.1\r\nHost: a.test\r\n\r\n`);
}

function hostIs(name: string, value: string, source = HDIFF): RequestCase {
  return { ...refuse(name, source, `GET / HTTP/1.1\r\nHost: ${value}\r\n\r\n`), must: true };
}

/** What Connection names goes, but never what keeps requests apart or says who asked. */
function nominates(name: string, field: string, value: string, stays: boolean): RequestCase {
  return forward(`Connection: ${name}`, HOPS, get(`Connection: close, ${name}`, `${field}: ${value}`), stays ? { has: { [field.toLowerCase()]: value } } : { lacks: [field] });
}

export const hosts: readonly RequestCase[] = [
  ...must(
    refuse("two Host fields, the second indented by a tab", TROUBLES, "GET / HTTP/1.1\r\nHost: a.test\r\n\tHost: evil.test\r\n\r\n"),
    refuse("a Host with a space before its colon beside a true one", TROUBLES, "GET / HTTP/1.1\r\nHost : evil.test\r\nHost: a.test\r\n\r\n"),
    refuse("a Host with a tab before its colon beside a true one", TROUBLES, "GET / HTTP/1.1\r\nHost\t: evil.test\r\nHost: a.test\r\n\r\n"),
    refuse("three Host fields", TROUBLES, "GET / HTTP/1.1\r\nHost: a.test\r\nHost: evil.test\r\nHost: a.test\r\n\r\n"),
    refuse("two Host fields and an absolute target", TROUBLES, "GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\nHost: evil.test\r\n\r\n"),
    refuse("an empty Host beside a true one", TROUBLES, "GET / HTTP/1.1\r\nHost:\r\nHost: a.test\r\n\r\n"),
    refuse("a first Host that is only a blank", TROUBLES, "GET / HTTP/1.1\r\nHost: \t\r\nHost: a.test\r\n\r\n"),
  ),
  refuse("a Host folded onto the next line", TROUBLES, "GET / HTTP/1.1\r\nHost:\r\n a.test\r\n\r\n"),
  refuse("a Host folded behind another field", TROUBLES, "GET / HTTP/1.1\r\nHost: a.test\r\nX: y\r\n Host: evil.test\r\n\r\n"),
  either("an absolute target that names another host than Host", TROUBLES, "GET http://a.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n", { line: "GET / HTTP/1.1", has: { host: "a.test" } }),
  either("an absolute target of scheme https with the same host", TROUBLES, "GET https://a.test/x HTTP/1.1\r\nHost: a.test\r\n\r\n", { line: "GET /x HTTP/1.1", has: { host: "a.test" } }),
  refuse("an absolute target of scheme nonhttp", TROUBLES, "GET nothttp://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n", [400, 404, 421, 501]),
  refuse("an absolute target behind a blank", TROUBLES, "GET  http://evil.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n"),
  refuse("an absolute target with two authorities", TROUBLES, "GET http://a.test@evil.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n"),
  refuse("an absolute target with a backslash for its second slash", TROUBLES, "GET http:/\\evil.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n"),
  refuse("an absolute target with a backslash in its authority", TROUBLES, "GET http://a.test\\evil.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n"),
  refuse("an absolute target with a port that is no number", TROUBLES, "GET http://a.test:x/ HTTP/1.1\r\nHost: a.test\r\n\r\n"),

  line("a target that begins with @", "@evil.test/"),
  line("a target that begins with a colon", ":80/"),
  line("a target that is a host and a path", "evil.test/path"),
  line("a target that begins with a backslash", "\\evil.test"),
  line("a target that begins with a dot", ".evil.test/"),
  line("a target that begins with a percent sign", "%2f/evil.test"),
  line("a target in quotes", '"/"'),
  line("a target with a space in an absolute one", "http://a.test/ evil"),
  forward("a target of two slashes and a host is a path", LENS, "GET //evil.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n", { line: "GET //evil.test/ HTTP/1.1", has: { host: "a.test" } }),
  forward("a target with @ in its path is a path", LENS, "GET /@evil.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n", { line: "GET /@evil.test/ HTTP/1.1", has: { host: "a.test" } }),
  forward("a target with a whole URL in its path is a path", LENS, "GET /http://evil.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n", { line: "GET /http://evil.test/ HTTP/1.1", has: { host: "a.test" } }),

  hostIs("a Host of two names in a list", "a.test, evil.test"),
  hostIs("a Host with @ and a port", "a.test@evil.test:80"),
  hostIs("a Host with a slash before it", "/a.test"),
  hostIs("a Host with a tab inside", "a.test\tevil.test"),
  hostIs("a Host with an escape that is none", "a.test%zz"),
  hostIs("a Host with a bracket behind it", "a.test]"),
  hostIs("a Host that is an empty address", "[]"),
  refuse("a Host that is a colon", "RFC 9110 4.2.1", "GET / HTTP/1.1\r\nHost: :\r\n\r\n"),
  refuse("a Host that is a port", "RFC 9110 4.2.1", "GET / HTTP/1.1\r\nHost: :80\r\n\r\n"),
  hostIs("a Host with a backtick", "a`b.test"),
  hostIs("a Host with a bar", "a|b.test"),
  hostIs("a Host with a brace", "a{b}.test"),
  either("a Host with a dot behind it", HDIFF, "GET / HTTP/1.1\r\nHost: a.test.\r\n\r\n", { has: { host: "a.test." } }),
  either("a Host with an underscore", HDIFF, "GET / HTTP/1.1\r\nHost: a_b.test\r\n\r\n", { has: { host: "a_b.test" } }),
  either("a Host with an empty port", "RFC 9110 4.2.1", "GET / HTTP/1.1\r\nHost: a.test:\r\n\r\n", { has: { host: /^a\.test:?$/ } }),

  nominates("Cookie", "Cookie", "a=b", false),
  nominates("Authorization", "Authorization", "Basic x", false),
  nominates("X-Real-IP", "X-Real-IP", "1.2.3.4", false),
  forward("Connection: X-Forwarded-For leaves what the proxy says", HOPS, get("Connection: close, X-Forwarded-For, X-Forwarded-Host, X-Forwarded-Proto"), { has: { "x-forwarded-for": "127.0.0.1", "x-forwarded-host": "a.test", "x-forwarded-proto": "http" } }),
  forward("Connection: Host leaves Host", HOPS, get("Connection: close, Host"), { has: { host: "a.test" } }),
  forward("Connection: Content-Length leaves the body's length", HOPS, "POST / HTTP/1.1\r\nHost: a.test\r\nConnection: Content-Length\r\nContent-Length: 5\r\n\r\nhello", { body: "hello" }),
  forward("Connection: Transfer-Encoding leaves the body's length", HOPS, "POST / HTTP/1.1\r\nHost: a.test\r\nConnection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", { body: "hello" }),
  forward("Connection: Connection", HOPS, get("Connection: Connection, X-A", "X-A: 1"), { lacks: ["X-A"] }),
  forward("Connection with two hundred names", HOPS, get(`Connection: ${Array.from({ length: 200 }, (_, i) => `x-${i}`).join(", ")}`, "X-7: 1", "X-199: 1", "X-200: 1"), { lacks: ["X-7", "X-199"], has: { "x-200": "1" } }),
  either("Connection with a name that is no token", HOPS, get("Connection: x-a;q=1, x(b", "X-B: 1"), { has: { "x-b": "1" } }),
  either("Connection in quotes", HOPS, get('Connection: "close"', "X-A: 1"), { has: { "x-a": "1" } }),

  refuse("a control character in a value (HMC)", CPDOS, get("X-Meta: a\x07b")),
  forward("a field that would override the method (HMO) is only a field", CPDOS, get("X-HTTP-Method-Override: POST"), { line: "GET / HTTP/1.1", has: { "x-http-method-override": "POST" } }),
];
