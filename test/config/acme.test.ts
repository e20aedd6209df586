/** `[listeners.tls.acme]`: what it means beside other listeners and routes, what is wrong with it, and where things are kept. */
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { stateDirectory } from "../../src/config/state-directory.ts";
import { diagnosticLine, loadConfigText, type Loaded, SlotAllocator } from "../../src/config/load.ts";
import type { AcmeCertificateConfig } from "../../src/config/snapshot.ts";

function load(acme: string, before = "", after = ""): Loaded {
  const text = `${before}
[[listeners]]
address = ":443"
upstream = "web"
[listeners.tls]
acme = { ${acme} }
${after}
[[upstreams]]
name = "web"
targets = [{ address = "127.0.0.1:1" }]
`;
  return loadConfigText(text, "f.toml", { slots: new SlotAllocator({ targets: 8, upstreams: 8 }), generation: 1 });
}

function acmeOf(...how: Parameters<typeof load>): AcmeCertificateConfig {
  const loaded = load(...how);
  if (!loaded.ok) throw new Error(loaded.diagnostics.map(diagnosticLine).join("\n"));
  return loaded.snapshot.listeners.flatMap(({ tls }) => tls?.acme ?? [])[0]!;
}

const faults = (...how: Parameters<typeof load>): string[] => {
  const loaded = load(...how);
  return loaded.ok ? [] : loaded.diagnostics.map(diagnosticLine);
};

const HTTP = '[[listeners]]\naddress = ":80"\nupstream = "web"\n';
const route = (host: string): string => `[[routes]]\nhosts = ["${host}"]\nupstream = "web"\n`;

describe("a listener with acme", () => {
  test("has Let's Encrypt's certificate for its domains by default", () => {
    expect(acmeOf('domains = ["WWW.example.org", "example.org"], storage = "/srv/acme"', HTTP)).toEqual({
      account: { directory: "https://acme-v02.api.letsencrypt.org/directory", file: "/srv/acme/acme-v02.api.letsencrypt.org-directory/account.json" },
      domains: ["www.example.org", "example.org"],
      challenges: ["http-01", "tls-alpn-01"],
      keyType: "ec256",
      file: expect.stringMatching(/^\/srv\/acme\/acme-v02\.api\.letsencrypt\.org-directory\/example\.org\+1-[0-9a-f]{8}\.pem$/),
    });
  });

  test("is answered for by http-01 only where somebody speaks http in the clear", () => {
    expect(acmeOf('domains = ["a.org"]').challenges).toEqual(["tls-alpn-01"]);
    expect(acmeOf('domains = ["a.org"], challenge = "http-01"', HTTP).challenges).toEqual(["http-01"]);
    expect(acmeOf('domains = ["a.org"], challenge = "tls-alpn-01"', HTTP).challenges).toEqual(["tls-alpn-01"]);
  });

  test("is for the hosts of all routes when it does not say for what", () => {
    expect(acmeOf("", "", route("b.org") + route("A.org") + route("b.org")).domains).toEqual(["b.org", "a.org"]);
  });

  test("keeps its file when the domains change places, and has another one for other domains and keys", () => {
    const file = (acme: string): string => acmeOf(`${acme}, storage = "/s"`).file;
    expect(file('domains = ["a.org", "b.org"]')).toBe(file('domains = ["b.org", "a.org"]'));
    const all = ['domains = ["a.org"]', 'domains = ["a.org", "b.org"]', 'domains = ["a.org", "c.org"]', 'domains = ["a.org"], key_type = "rsa2048"', 'domains = ["a.org"], directory = "https://a.org:8443/dir"'];
    expect(new Set(all.map(file)).size).toBe(all.length);
    expect(file('domains = ["a.org"], directory = "https://[::1]:8443/a/../b"')).toBe("/s/-1-8443-b/a.org.pem");
  });

  test("may be renewed weeks before its end", () => {
    expect(acmeOf('domains = ["a.org"], renew_before = "30d"').renewBefore).toBe(30 * 86_400_000);
  });
});

describe("what is wrong with it is said:", () => {
  for (const [acme, before, after, expected] of [
    ['domains = ["*.example.org"]', "", "", '"*.example.org" needs the challenge dns-01, which is not offered: name each host, or get this certificate elsewhere'],
    ['domains = ["192.0.2.1/x"]', "", "", '"192.0.2.1/x" is not a host name, as "www.example.org"'],
    ["domains = []", "", "", "a certificate is for at least one domain"],
    ["", "", "", 'it is not said for which names a certificate is wanted, and no route names a host (add domains = ["www.example.org"])'],
    ["", "", route("*.b.org"), 'without domains the certificate is for the hosts of all routes, and "*.b.org" cannot be had by http-01 or tls-alpn-01 (name the domains)'],
    ['domains = ["a.org"], challenge = "http-01"', "", "", 'http-01 is answered by a listener that speaks http without tls, and there is none (add one (the CA asks on port 80), or set challenge = "tls-alpn-01")'],
    ['domains = ["a.org"]', "", '[listeners.proxy_protocol]\nfrom = ["10.0.0.0/8"]', "tls-alpn-01 cannot be answered behind a proxy that sends the PROXY protocol (add a listener that speaks http without tls (the CA asks on port 80), for http-01)"],
    ['domains = ["a.org"], challenge = "dns-01"', "", "", '"challenge" must be "auto", "http-01" or "tls-alpn-01", not "dns-01"'],
    ['domains = ["a.org"], directory = "http://a.org"', "", "", "a directory is an https:// URL"],
    ['domains = ["a.org"], eab_kid = "k"', "", "", "eab_kid and eab_hmac_key go together (add the other one, or leave both out)"],
    ['domains = ["a.org"], ca = "nowhere.pem"', "", "", `no file ${join(process.cwd(), "nowhere.pem")} (its path is relative to the config file)`],
    ['domains = ["a.org"], email = "me"', "", "", "this is not a mail address"],
    ['domains = ["a.org"], email = "a@a.org"', "", '[[listeners]]\naddress = ":444"\nupstream = "web"\ntls = { acme = { domains = ["b.org"] } }\n', "listener 1 has another email, eab or ca for the same directory (there is one account a directory: write the same in both)"],
  ] as const) {
    test(expected, () => expect(faults(acme, before, after).map((line) => line.replace(/^f\.toml:\d+:\d+: ("\w+": )?/, ""))).toEqual([expected]));
  }
});

describe("where things are kept", () => {
  test("is the service manager's place, else that of the XDG base directories, else the system's or the user's", () => {
    expect(stateDirectory({ STATE_DIRECTORY: "/var/lib/lb:/var/lib/other", XDG_STATE_HOME: "/x", HOME: "/h" }, 0)).toBe("/var/lib/lb");
    expect(stateDirectory({ XDG_STATE_HOME: "/x", HOME: "/h" }, 0)).toBe("/x/fairlead");
    expect(stateDirectory({ XDG_STATE_HOME: "not/absolute", HOME: "/h" }, 1000)).toBe("/h/.local/state/fairlead");
    expect(stateDirectory({ HOME: "/root" }, 0)).toBe("/var/lib/fairlead");
    expect(stateDirectory({ HOME: "/h" }, 1000)).toBe("/h/.local/state/fairlead");
  });
});
